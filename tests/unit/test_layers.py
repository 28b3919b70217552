"""A module imports only from its own floor's foundation downwards (see CONTRIBUTING.md)."""

import ast

import pytest

from adaptlab import paths

FLOORS = [
    {"errors", "paths", "runtime", "profiles", "download", "sources", "records", "checkpoint"},
    {"tasks", "models", "batching", "sampling", "packing"},
    {"gpt", "prompting", "probing", "tuning", "quantize", "evaluation"},
    {"scoreboard"},
    {"report"},
    {"course", "prompts_command", "__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = [
    pytest.param(file, id=str(file.relative_to(paths.PACKAGE)))
    for file in sorted(paths.PACKAGE.rglob("*.py"))
    if file.parent != paths.PACKAGE or file.name != "__init__.py"
]


def room_of(file) -> str:
    return file.relative_to(paths.PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(file) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "adaptlab":
            rooms |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("adaptlab."):
            rooms.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names = [name.name.split(".") for name in node.names]
            rooms |= {name[1] for name in names if name[0] == "adaptlab" and name[1:]}
    return rooms - {"__version__"}


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file):
    own = room_of(file)
    for room in imported_rooms(file) - {own}:
        if FLOOR[own] in (0, len(FLOORS) - 1):  # the foundation and the top hold together
            assert FLOOR[room] <= FLOOR[own], f"{own} imports {room}"
        else:
            assert FLOOR[room] < FLOOR[own], f"{own} imports {room}"


@pytest.mark.parametrize("file", FILES)
def test_files_are_small(file):
    assert len(file.read_text().splitlines()) <= 300
