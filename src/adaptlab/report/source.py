"""Show a definition from the package in a notebook, so that a page and the code cannot differ."""

import inspect
from types import ModuleType

from IPython.display import Markdown


def show_source(thing: type | ModuleType | object) -> Markdown:
    """The source of a function, class or module, highlighted, with where it stands."""
    module = thing if inspect.ismodule(thing) else inspect.getmodule(thing)
    name = thing.__name__ if not inspect.ismodule(thing) else ""
    where = f"`{module.__name__}{'.' + name if name else ''}`"
    return Markdown(f"{where}\n\n```python\n{inspect.getsource(thing).rstrip()}\n```")
