"""Budgets: how much of everything a notebook may use, by profile (profiles.toml)."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from adaptlab import paths
from adaptlab.errors import unknown

PROFILES = ("smoke", "cpu", "full", "gpu")


class Budget(Mapping[str, Any]):
    """One notebook's settings in one profile; `budget.seeds` and `budget["seeds"]` are the same."""

    def __init__(self, profile: str, notebook: str, settings: Mapping[str, Any]):
        self.profile, self.notebook, self._settings = profile, notebook, dict(settings)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        if key not in self._settings:
            raise unknown(f"setting of {self.notebook}/{self.profile}", key, self._settings)
        return self._settings[key]

    def __getitem__(self, key: str) -> Any:
        return self._settings[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def __repr__(self) -> str:
        return f"Budget({self.notebook}/{self.profile}: {self._settings})"


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads((paths.PACKAGE / "profiles.toml").read_text())


def check(profile: str) -> str:
    """`profile` itself, if it is one. Raises AdaptlabError otherwise."""
    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    return profile


def sources(notebook: str) -> list[str]:
    """Names of the sources (sources.toml) that a notebook reads."""
    if notebook not in _tables():
        raise unknown("notebook", notebook, _tables())
    return list(_tables()[notebook].get("sources", []))


def load(profile: str, notebook: str) -> Budget:
    """The budget of `notebook` (its file name without .ipynb) in `profile`.

    Settings under [notebook] hold for every profile; [notebook.profile] overrides them.
    Raises AdaptlabError for an unknown profile or notebook.
    """
    check(profile)
    if notebook not in _tables():
        raise unknown("notebook", notebook, _tables())
    table = _tables()[notebook]
    common = {key: value for key, value in table.items() if key not in PROFILES}
    return Budget(profile, notebook, common | table.get(profile, {}))
