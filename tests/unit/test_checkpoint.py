"""What a training saves is read back as it was, or refused in one line."""

import errno
import resource
from dataclasses import dataclass

import pytest
import torch

from adaptlab import checkpoint
from adaptlab.errors import AdaptlabError


@dataclass(frozen=True)
class Recipe:
    steps: int = 5


def test_it_is_read_back_as_it_was(tmp_path):
    file = tmp_path / "checkpoints" / "small.pt"
    checkpoint.save(file, {"weights": torch.arange(3.0), "losses": [2.5]}, recipe=Recipe())
    found = checkpoint.load(file, recipe=Recipe())
    assert torch.equal(found["weights"], torch.arange(3.0))
    assert found["losses"] == [2.5]
    assert [path.name for path in file.parent.iterdir()] == ["small.pt"]


def test_a_checkpoint_of_something_else_is_one_line(tmp_path):
    file = tmp_path / "other.pt"
    checkpoint.save(file, {"weights": torch.ones(2)}, adapter="lora", recipe=Recipe(5))
    with pytest.raises(AdaptlabError, match=r"other.pt is of another adapter: lora, not ia3$"):
        checkpoint.load(file, adapter="ia3")
    with pytest.raises(AdaptlabError, match=r"is of another recipe: steps is 5, not 6$"):
        checkpoint.load(file, recipe=Recipe(6))
    with pytest.raises(AdaptlabError, match=r"is of another text: None, not Hamlet$"):
        checkpoint.load(file, text="Hamlet")


@pytest.mark.parametrize("damage", ["none", "cut", "text", "empty", "list", "code"])
def test_a_damaged_checkpoint_is_one_line(tmp_path, damage):
    file = tmp_path / "small.pt"
    if damage == "cut":
        checkpoint.save(file, {"weights": torch.ones(1000)})
        file.write_bytes(file.read_bytes()[:-2000])
    elif damage in ("text", "empty"):
        file.write_text({"text": "no checkpoint\n", "empty": ""}[damage])
    elif damage in ("list", "code"):
        torch.save([1, 2] if damage == "list" else {"identity": Recipe()}, file)
    with pytest.raises(AdaptlabError, match=r"small.pt is not a readable checkpoint: ") as caught:
        checkpoint.load(file)
    assert "\n" not in str(caught.value)


# What torch raises when it cannot write, with lines of C++ below it.
TORCH = "PytorchStreamWriter failed writing file data/0: file write failed"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (RuntimeError(f"{TORCH}\nframe #0: c10::ThrowEnforceNotMet"), TORCH),
    ],
)
def test_a_write_that_breaks_off_leaves_the_old_one(tmp_path, monkeypatch, error, reason):
    file = tmp_path / "small.pt"
    checkpoint.save(file, {"step": 1})

    def full(state, stream):
        stream.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(AdaptlabError, match=f"small.pt could not be written: {reason}$"):
        checkpoint.save(file, {"step": 2})
    assert checkpoint.load(file) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["small.pt"]


@pytest.mark.parametrize("room", [0, 2000, 100_000])
def test_a_file_that_grows_too_large_is_one_line(tmp_path, room):
    """What the system says is said, not what torch's own error says of it."""
    file = tmp_path / "small.pt"
    checkpoint.save(file, {"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(AdaptlabError, match=r"small.pt could not be written: File too large$"):
            checkpoint.save(file, {"weights": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoint.load(file) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["small.pt"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "a file").touch()
    with pytest.raises(AdaptlabError, match=r"small.pt could not be written: "):
        checkpoint.save(tmp_path / "a file" / "small.pt", {"step": 1})
    (tmp_path / "small.pt").mkdir()
    with pytest.raises(AdaptlabError, match=r"small.pt could not be written: Is a directory$"):
        checkpoint.save(tmp_path / "small.pt", {"step": 1})
