"""pyproject.toml (ranges), constraints.txt (pins) and environment.yml (conda) agree."""

import re
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from adaptlab import paths

ROOT = paths.checkout()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").open()]
PINS = {canonicalize_name(r.name): r for r in map(Requirement, filter(None, LINES))}
EXTRAS = PROJECT["optional-dependencies"]


def version(pin: Requirement) -> str:
    return next(iter(pin.specifier)).version


def test_every_pin_is_exact():
    for pin in PINS.values():
        assert re.fullmatch(r"==[^*]+", str(pin.specifier)), pin


def test_every_range_admits_its_pin():
    for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]:
        wanted = Requirement(line)
        pin = PINS.get(canonicalize_name(wanted.name))
        assert pin is not None, f"{wanted.name} has no pin in constraints.txt"
        assert wanted.specifier.contains(version(pin)), f"{wanted} does not admit {pin}"


def test_torch_is_the_one_the_course_was_measured_with():
    assert version(PINS["torch"]) == "2.13.0"


def test_conda_users_get_the_same_pins():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(line.partition("=")[2] for line in conda if str(line).startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    (with_pip,) = [part["pip"] for part in conda if isinstance(part, dict)]
    assert with_pip == ["-c constraints.txt", f"-e .[{','.join(sorted(EXTRAS))}]"]


def test_make_installs_with_the_pins_and_all_extras():
    make = (ROOT / "Makefile").read_text()
    installs = [line for line in make.splitlines() if "pip install" in line]
    assert installs
    assert all("-c constraints.txt" in line for line in installs)
    assert f"-e '.[{','.join(sorted(EXTRAS))}]'" in make
