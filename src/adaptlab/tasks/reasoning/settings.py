"""How hard a family is: a whole number in a range."""

from adaptlab.errors import AdaptlabError


def within(name: str, value: int, least: int, most: int) -> None:
    """Raises AdaptlabError unless `value` is a whole number from least to most."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise AdaptlabError(f"{name} is {value!r}; it is a whole number from {least} to {most}")
