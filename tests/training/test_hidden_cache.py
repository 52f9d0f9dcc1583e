"""Cached hidden states: the same, computed once, and never half of them."""

from __future__ import annotations

import copy
import dataclasses
import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from mne_neurolm import NeuroLM
from mne_neurolm.models.inference import encode_patches
from mne_neurolm.patches import Patches, make_patches
from mne_neurolm.training import hidden_cache
from mne_neurolm.training.hidden_cache import HiddenCache, as_cache, cached_tokens


@pytest.fixture(scope="module")
def patches(epochs) -> Patches:
    return make_patches(epochs)


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """Return a list that grows with every run of the encoder."""
    made: list[int] = []

    def counted(model: NeuroLM, patches: Patches, **kwargs):
        made.append(len(patches))
        return encode_patches(model, patches, **kwargs)

    monkeypatch.setattr(hidden_cache, "encode_patches", counted)
    return made


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*"))


def test_states_are_those_without_a_cache(small_model, patches, tmp_path, calls) -> None:
    expected = encode_patches(small_model, patches, dtype="float32")
    cache = HiddenCache(tmp_path / "states")
    for _ in range(2):
        found = cache.tokens(small_model, patches, dtype="float32")
        np.testing.assert_array_equal(found.hidden, expected.hidden)
        np.testing.assert_array_equal(found.codes, expected.codes)
        assert found.encoder_id == expected.encoder_id and found.ch_names == expected.ch_names
    assert calls == [24]
    assert isinstance(found.hidden, np.memmap)
    found.hidden[:] = 0  # a copy of what is on disk
    again = cache.tokens(small_model, patches, dtype="float32")
    np.testing.assert_array_equal(again.hidden, expected.hidden)


def test_half_precision_takes_half_the_space(small_model, patches, tmp_path) -> None:
    expected = encode_patches(small_model, patches, dtype="float32").hidden
    found = HiddenCache(tmp_path, "float16").tokens(small_model, patches, dtype="float32").hidden
    assert found.dtype == np.float16 and 2 * found.nbytes == expected.nbytes
    np.testing.assert_allclose(found.astype(np.float32), expected, atol=2e-3, rtol=2e-3)


def test_what_states_depend_on_is_in_the_key(small_model, patches, tmp_path, calls) -> None:
    cache = HiddenCache(tmp_path)
    other = copy.deepcopy(small_model)
    with torch.no_grad():
        next(other.vq.encoder.parameters()).mul_(1.01)
    louder = dataclasses.replace(patches, data=patches.data * 1.01)
    elsewhere = dataclasses.replace(patches, channels=patches.channels[::-1].copy())
    for model, data, dtype in (
        (small_model, patches, "float32"),
        (other, patches, "float32"),
        (small_model, louder, "float32"),
        (small_model, elsewhere, "float32"),
        (small_model, patches, "bfloat16"),
    ):
        cache.tokens(model, data, dtype=dtype)
    assert len(calls) == len(entries(tmp_path)) == 5
    tuned = copy.deepcopy(small_model)
    with torch.no_grad():
        tuned.lm_head.weight.mul_(2)  # the language model has no say
    cache.tokens(tuned, patches, dtype="float32")
    assert len(calls) == 5


@pytest.mark.parametrize("damage", ["truncate", "remove", "objects"])
def test_damage_is_repaired(small_model, patches, tmp_path, calls, damage) -> None:
    cache = HiddenCache(tmp_path)
    expected = np.array(cache.tokens(small_model, patches, dtype="float32").hidden)
    path = next(tmp_path.glob("*/*/hidden.npy"))
    if damage == "truncate":
        os.truncate(path, 1000)
    elif damage == "remove":
        path.unlink()
    else:
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    found = cache.tokens(small_model, patches, dtype="float32").hidden
    np.testing.assert_array_equal(found, expected)
    assert len(calls) == 2 and len(entries(tmp_path)) == 1


def test_a_failure_leaves_nothing(small_model, patches, tmp_path) -> None:
    def fail(arrays) -> None:
        arrays["x"][0] = 1
        raise KeyboardInterrupt

    cache = HiddenCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.get(("a",), {"x": ((3, 4), "float32")}, fail)
    assert entries(tmp_path) == []


LARGE = {"x": ((1000, 1000), "float32"), "y": ((10,), "int64")}  # 4.0 MB


def test_room_is_taken_before_anything_is_computed(tmp_path) -> None:
    """Files are no holes, which a full disk would answer with a bus error when they are filled."""
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system can't give a file its blocks")
    taken = []

    def compute(arrays) -> None:
        taken.extend(512 * path.stat().st_blocks for path in tmp_path.glob("*/*/*.npy"))
        for array in arrays.values():
            array[:] = 1

    found = HiddenCache(tmp_path).get(("a",), LARGE, compute)
    assert sum(taken) >= 4_000_000 and (found["x"] == 1).all()


@pytest.mark.parametrize("why", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(tmp_path, monkeypatch, why) -> None:
    def refuse(file, start, length) -> None:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    says = rf"need 4\.0 MB in .* free \({os.strerror(why)}\)\. Make room, .* dtype='float16'"
    with pytest.raises(OSError, match=says) as caught:
        HiddenCache(tmp_path).get(("a",), LARGE, None)
    assert caught.value.errno == why and entries(tmp_path) == []
    with pytest.raises(OSError, match="on another disk, or use no cache"):
        HiddenCache(tmp_path, "float16").get(("a",), LARGE, None)


@pytest.mark.parametrize("system", ["without the call", "file system without it"])
def test_a_full_disk_that_only_tells_what_is_left(tmp_path, monkeypatch, system) -> None:
    def refuse(file, start, length) -> None:
        raise OSError(errno.EOPNOTSUPP, "not offered")

    if system == "without the call":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    usage = shutil.disk_usage(tmp_path)
    free = [3_900_000]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free[0]))
    with pytest.raises(OSError, match=r"need 4\.0 MB in .*, which has 3\.9 MB free"):
        HiddenCache(tmp_path).get(("a",), LARGE, None)
    free[0] = 5_000_000
    found = HiddenCache(tmp_path).get(("a",), LARGE, lambda arrays: arrays["x"].fill(2))
    assert (found["x"] == 2).all()


def test_other_faults_of_the_disk_are_not_hidden(tmp_path, monkeypatch) -> None:
    def refuse(file, start, length) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(OSError, match="broken"):
        HiddenCache(tmp_path).get(("a",), LARGE, None)
    assert entries(tmp_path) == []


def test_several_write_the_same_at_once(tmp_path) -> None:
    barrier_met = []

    def work(number: int) -> np.ndarray:
        def compute(arrays) -> None:
            barrier_met.append(number)
            while len(barrier_met) < 4:  # all are at it before any is done
                pass
            arrays["x"][:] = 7

        return HiddenCache(tmp_path).get(("a",), {"x": ((50, 4), "float32")}, compute)["x"]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    assert all((r == 7).all() for r in results) and len(entries(tmp_path)) == 1


def test_no_epochs(small_model, patches, tmp_path) -> None:
    none = dataclasses.replace(patches, data=patches.data[:0])
    assert len(HiddenCache(tmp_path).tokens(small_model, none)) == 0


def test_tokens_and_features_pass_by(small_model, tokens, epochs, tmp_path, calls) -> None:
    encoder_id = small_model.encoder_id()
    assert cached_tokens(tokens, small_model, encoder_id, cache=tmp_path) is tokens
    with pytest.raises(ValueError, match="holds features"):
        cached_tokens(np.zeros((3, 4)), small_model, encoder_id, cache=tmp_path)
    for X in (epochs, [epochs[:12], epochs[12:]]):
        assert len(cached_tokens(X, small_model, encoder_id, cache=tmp_path)) == 24
    assert calls == [24], "a list of epochs is the same EEG"


def test_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; the cache is a folder"):
        HiddenCache(tmp_path / "file")
    with pytest.raises(ValueError, match="one of .*; got 'int8'"):
        HiddenCache(tmp_path, "int8")
    cache = HiddenCache(tmp_path)
    assert as_cache(None) is None and as_cache(cache) is cache
    assert as_cache(tmp_path).folder == tmp_path
