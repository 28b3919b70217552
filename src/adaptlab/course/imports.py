"""Which files of a package some code can reach: the closure of its imports, read, not run."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path


def reachable(sources: Iterable[str], package: Path) -> set[Path]:
    """The files of `package` (a folder) that code with these `sources` reaches by import.

    Imports within functions count. So does what lies beside a reached subpackage's __init__
    and is no Python (a figure style, say), because it is there to be read; data beside the
    package's own __init__ does not. A module that imports by computed name is taken to reach
    its whole folder. Code that does not parse reaches nothing: it could not run either.
    """
    reached: set[Path] = set()
    open_files = list(_files(sources, package))
    while open_files:
        path = open_files.pop()
        if path in reached:
            continue
        reached.add(path)
        source = path.read_text(encoding="utf-8")
        open_files += _resolve(_imports(source, _dotted(path, package)), package)
        if "import_module(" in source:
            open_files += path.parent.glob("*.py")
    return reached | {data for path in reached for data in _data(path, package)}


def _files(sources: Iterable[str], package: Path) -> Iterator[Path]:
    for source in sources:
        yield from _resolve(_imports(source, parent=""), package)


def _imports(source: str, parent: str) -> Iterator[str]:
    """The dotted names that `source` may import; `parent` is the package it lies in."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, parent)
            # `from a import b` reaches a, and a.b where that is a module.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _absolute(node: ast.ImportFrom, parent: str) -> str:
    if not node.level:
        return node.module or ""
    above = parent.split(".")[: len(parent.split(".")) - node.level + 1]
    return ".".join([*above, *filter(None, [node.module])])


def _dotted(path: Path, package: Path) -> str:
    """The dotted name of the package that the module at `path` lies in."""
    return ".".join([package.name, *path.parent.relative_to(package).parts])


def _resolve(names: Iterable[str], package: Path) -> Iterator[Path]:
    """The files behind dotted names, with the __init__ of each package on the way."""
    for name in names:
        first, *rest = name.split(".")
        if first != package.name:
            continue
        folder = package
        yield from _existing(folder / "__init__.py")
        for part in rest:
            yield from _existing(folder / f"{part}.py")
            folder = folder / part
            yield from _existing(folder / "__init__.py")


def _existing(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path


def _data(path: Path, package: Path) -> Iterator[Path]:
    if path.name == "__init__.py" and path.parent != package:
        files = (file for file in path.parent.iterdir() if file.is_file())
        yield from (file for file in files if file.suffix != ".py")
