"""The one exception a user is meant to read."""

import difflib
from collections.abc import Iterable


class AdaptlabError(Exception):
    """A mistake or a missing thing, said in one line; the command line prints it and exits 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> AdaptlabError:
    """The error for a name that is not one of `known`; it says which names are near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    return AdaptlabError(f"unknown {kind} {name!r}; {hint}")
