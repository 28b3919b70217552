"""Every master runs to its end in the smoke profile."""

from pathlib import Path

import pytest

from adaptlab.course.handouts import write_handouts
from adaptlab.course.ledger import Ledger
from adaptlab.course.masters import masters
from adaptlab.course.run import run_course

NAMES = [path.stem for path in masters()]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smoke")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("name", NAMES)
def test_smoke(name: str, out: Path):
    code = run_course("smoke", only=[name], out=out)
    entry = Ledger(out).get(name)
    assert entry is not None
    assert entry.error is None
    assert (code, entry.status) == (0, "ok")
    assert (out / f"{name}.html") in write_handouts("smoke", only=[name], out=out)
