"""A store runs the model once; what is damaged is made anew; a full disk stops nothing."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from adaptlab import models
from adaptlab.errors import AdaptlabError
from adaptlab.probing import store as module
from adaptlab.probing.features import POOLINGS, Features, features
from adaptlab.probing.store import FeatureStore

TEXTS = ["a film", "a much longer text about a film", "été"]
FP32 = torch.float32


@pytest.fixture
def loaded(tiny, tokenizer) -> models.Loaded:
    return models.Loaded(tiny, tokenizer)


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


def never() -> models.Loaded:
    raise AssertionError("the model was loaded")


def same(a: Features, b: Features) -> bool:
    return list(a.values) == list(b.values) and all(
        np.array_equal(values, b.values[name]) for name, values in a.values.items()
    )


def test_the_second_time_no_model_is_loaded(store, loaded):
    options = {"poolings": POOLINGS, "dtype": FP32, "context": 5}
    first = store.features("tiny", TEXTS, load=lambda: loaded, **options)
    assert same(first, features(*loaded, TEXTS, POOLINGS, context=5))
    again = FeatureStore(store.folder).features("tiny", TEXTS, load=never, **options)
    assert same(again, first)
    assert (first.hit, again.hit) == (False, True)
    assert first.truncated == again.truncated == 1
    assert first.file == again.file
    assert again.disk_bytes == again.file.stat().st_size > 4 * 3 * 3 * 32 * 4
    assert list(store.folder.iterdir()) == [again.file]  # and no parts beside it
    turned = store.features("tiny", TEXTS, load=never, **options | {"poolings": POOLINGS[::-1]})
    assert tuple(turned.values) == POOLINGS[::-1]


@pytest.mark.parametrize(
    "other",
    [
        {"identity": "tiny random weights seed 0"},
        {"texts": [*TEXTS[:2], "ete"]},
        {"texts": TEXTS[::-1]},
        {"poolings": ["mean"]},
        {"poolings": ["last", "mean"]},
        {"context": 2},
        {"dtype": torch.bfloat16},
    ],
)
def test_anything_else_that_was_asked_for_is_computed(store, loaded, other):
    asked = {"identity": "tiny", "texts": TEXTS, "poolings": ["last"], "dtype": FP32}
    store.features(load=lambda: loaded, **asked)
    asked |= other
    model = loaded.model.to(asked["dtype"])
    found = store.features(load=lambda: models.Loaded(model, loaded.tokenizer), **asked)
    assert not found.hit
    assert len(list(store.folder.iterdir())) == 2


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 4)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [cut, flip, lambda file: file.write_bytes(b""), lambda file: file.write_text("?" * 99)],
)
def test_a_damaged_file_is_made_anew(store, loaded, damage):
    first = store.features("tiny", TEXTS, load=lambda: loaded, dtype=FP32)
    damage(first.file)
    mended = store.features("tiny", TEXTS, load=lambda: loaded, dtype=FP32)
    assert not mended.hit
    found = store.features("tiny", TEXTS, load=never, dtype=FP32)
    assert same(found, first)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_leaves_the_features_in_memory(store, loaded, monkeypatch, error):
    def save(tensors, file, about):
        Path(file).write_bytes(b"a part")
        raise error

    monkeypatch.setattr(module, "save_file", save)
    with pytest.warns(UserWarning, match="stay in memory.*No space left") as warned:
        found = store.features("tiny", TEXTS, load=lambda: loaded, dtype=FP32)
    assert len(warned) == 1
    assert "\n" not in str(warned[0].message)
    assert warned[0].filename == __file__
    assert same(found, features(*loaded, TEXTS))
    assert (found.file, found.hit, found.disk_bytes) == (None, False, 0)
    assert not list(store.folder.iterdir())


def test_a_folder_that_cannot_be_made_leaves_the_features_in_memory(tmp_path, loaded):
    Path(tmp_path / "taken").write_text("a file")
    store = FeatureStore(tmp_path / "taken" / "features")
    with pytest.warns(UserWarning, match="stay in memory"):
        found = store.features("tiny", TEXTS, load=lambda: loaded, dtype=FP32)
    assert same(found, features(*loaded, TEXTS))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_read_is_mapped_and_changes_nothing_on_disk(store, loaded):
    asked = {"poolings": POOLINGS, "dtype": FP32}
    store.features("tiny", TEXTS, load=lambda: loaded, **asked)
    found = store.features("tiny", TEXTS, load=never, **asked)
    mapped = [
        tuple(int(end, 16) for end in line.split()[0].split("-"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(found.file.name)
    ]
    for values in found.values.values():
        assert any(low <= values.ctypes.data < high for low, high in mapped)
    found.values["last"][:] = 0
    assert store.features("tiny", TEXTS, load=never, **asked).values["last"].any()


def test_a_model_of_another_dtype_is_refused(store, loaded):
    with pytest.raises(AdaptlabError, match=r"computes in torch.float32, but .* torch.bfloat16"):
        store.features("tiny", TEXTS, load=lambda: loaded, dtype=torch.bfloat16)


def test_what_cannot_be_asked_loads_no_model(store):
    with pytest.raises(AdaptlabError, match="no texts"):
        store.features("tiny", [], load=never)
    with pytest.raises(AdaptlabError, match="unknown pooling"):
        store.features("tiny", TEXTS, ["middle"], load=never)


def test_features_lie_in_the_cache_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    assert FeatureStore().folder == tmp_path / "features"
