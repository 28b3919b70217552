"""Where things lie: in the checkout if there is one, else in the user's folders."""

import os
from pathlib import Path

import platformdirs

from adaptlab.errors import AdaptlabError

PACKAGE = Path(__file__).parent


def checkout() -> Path | None:
    """The repository this package is imported from, or None where it was installed alone."""
    root = PACKAGE.parent.parent
    return root if (root / "notebooks").is_dir() and (root / "pyproject.toml").is_file() else None


def cache() -> Path:
    """The folder of downloads and converted models: ADAPTLAB_CACHE, data/cache, or the user's.

    Raises AdaptlabError if it cannot be written.
    """
    root = checkout()
    if named := os.environ.get("ADAPTLAB_CACHE"):
        folder = Path(named).expanduser()
    elif root:
        folder = root / "data" / "cache"
    else:
        folder = platformdirs.user_cache_path("adaptlab")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AdaptlabError(f"cannot create the cache {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise AdaptlabError(
            f"the cache {folder} is not writable; set ADAPTLAB_CACHE to one that is"
        )
    return folder


def notebooks() -> Path:
    """The folder of master notebooks. Raises AdaptlabError outside a checkout."""
    root = checkout()
    if root is None:
        raise AdaptlabError("the notebooks are in the repository: run this from a checkout of it")
    return root / "notebooks"


def build(profile: str) -> Path:
    """Where this profile's products go: build/PROFILE of the checkout, or of the current folder.

    The course runner names another place to its notebooks by ADAPTLAB_OUT.
    """
    if named := os.environ.get("ADAPTLAB_OUT"):
        return Path(named)
    return (checkout() or Path.cwd()) / "build" / profile


def results() -> Path:
    """The published records: data/results, or their copy inside an installed package."""
    root = checkout()
    return root / "data" / "results" if root else PACKAGE / "results"


def prompts() -> Path:
    """The example prompts and cases: data/prompts, or their copy inside an installed package."""
    root = checkout()
    return root / "data" / "prompts" if root else PACKAGE / "prompts"
