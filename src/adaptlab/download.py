"""Find a package's archive in the package index and download it, resuming what broke off."""

import os
import shutil
from pathlib import Path

import httpx2
import unearth
from tqdm import tqdm

from adaptlab.errors import AdaptlabError

ATTEMPTS = 4


def find_archive(package: str, version: str, kind: str) -> unearth.Link:
    """The link of a package's wheel or sdist; nothing is downloaded or built to find it.

    The index is PIP_INDEX_URL if that is set, else the public one.
    Raises AdaptlabError if there is no such archive, or no network.
    """
    index = os.environ.get("PIP_INDEX_URL")
    finder = unearth.PackageFinder(index_urls=[index] if index else ())
    try:
        for found in finder.find_all_packages(package, allow_yanked=True):
            if found.version == version and found.link.is_wheel == (kind == "wheel"):
                return found.link
    except (httpx2.HTTPError, unearth.UnpackError) as error:
        raise AdaptlabError(
            f"cannot reach the package index for {package}, is there a network? {error}"
        ) from error
    raise AdaptlabError(
        f"found no {kind} of {package} {version} in the package index; is there a network?"
    )


def download(link: unearth.Link, folder: Path) -> Path:
    """Download `link` into `folder` with a progress bar; a broken download is resumed.

    Raises AdaptlabError when it keeps breaking; what has arrived stays, for the next try.
    """
    target = folder / link.filename
    if link.is_file:
        shutil.copyfile(link.file_path, target)
        return target
    partial = target.with_name(target.name + ".part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _append_rest(link.normalized, partial)
            break
        except httpx2.HTTPError as error:
            if attempt == ATTEMPTS:
                size = partial.stat().st_size if partial.exists() else 0
                raise AdaptlabError(
                    f"download of {link.filename} broke off after {size:,} bytes "
                    f"({type(error).__name__}: {error}); run the same command again to resume"
                ) from error
    partial.replace(target)
    return target


def _append_rest(url: str, partial: Path) -> None:
    """Stream what is still missing from `partial`. Raises httpx2.HTTPError when it breaks off."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with httpx2.stream("GET", url, headers=headers, follow_redirects=True, timeout=60) as response:
        if response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:
            return  # all bytes are here already: the hash will tell
        response.raise_for_status()
        resumed = response.status_code == httpx2.codes.PARTIAL_CONTENT
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        name = partial.name.removesuffix(".part")
        with (
            partial.open("ab" if resumed else "wb") as out,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=name) as bar,
        ):
            for chunk in response.iter_raw():  # as it comes: what has arrived is kept
                out.write(chunk)
                bar.update(len(chunk))
    if total is not None and partial.stat().st_size < total:
        raise httpx2.ReadError(f"{partial.stat().st_size:,} of {total:,} bytes arrived")
