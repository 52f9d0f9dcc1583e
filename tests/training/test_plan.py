"""The order of data: complete, and a function of seed and step alone."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from mne_neurolm.training.plan import (
    Plan,
    cut_windows,
    phases,
    share,
    split_recordings,
)


def recording(n_times: int, channels: tuple[int, ...], subject: str = "1", split: str = ""):
    return SimpleNamespace(
        n_times=n_times, channels=channels, subject=subject, dataset="d", split=split
    )


RECORDINGS = [
    recording(200 * 100 + 7, tuple(range(19))),
    recording(200 * 100, tuple(reversed(range(19)))),
    recording(200 * 5, tuple(range(19))),
    recording(200 * 40, tuple(range(64))),
    recording(200, (3, 4)),
    recording(200 * 200, (3, 4)),
]


def test_windows_fill_recordings() -> None:
    windows = cut_windows(RECORDINGS, range(6), max_tokens=1024, min_seconds=2)
    # 1024 // 19 = 53 s: one window of 100 s; 64 channels: 16 s, two of 40 s; two channels: 64 s
    # by the time embedding, three of 200 s; the recording of 5 s is one short window, that of
    # 1 s none.
    lengths = [windows.buckets[b].n_seconds for b in windows.bucket]
    assert lengths == [53, 53, 5, 16, 16, 64, 64, 64]
    assert windows.recording.tolist() == [0, 1, 2, 3, 3, 5, 5, 5]
    assert windows.start.tolist() == [0, 0, 0, 0, 3200, 0, 12800, 25600]
    assert windows.slack[0] == 200 * 47 + 7
    # The order of a montage's channels makes no bucket of its own.
    assert windows.bucket[0] == windows.bucket[1]


def test_too_many_channels_make_no_window() -> None:
    assert len(cut_windows(RECORDINGS, [3], max_tokens=127, min_seconds=2)) == 0
    assert len(cut_windows(RECORDINGS, [3], max_tokens=128, min_seconds=2)) == 20


def test_an_epoch_has_every_window_once() -> None:
    buckets = np.repeat(np.arange(3, dtype=np.int32), [10, 7, 1])
    plan = Plan(buckets, 4, seed=0)
    assert plan.steps_per_epoch == 3 + 2 + 1
    for epoch in range(3):
        batches = [plan.parts(epoch * 6 + i)[0] for i in range(6)]
        assert {b.epoch for b in batches} == {epoch}
        assert sorted(np.concatenate([b.rows for b in batches])) == list(range(18))
        for batch in batches:
            assert set(buckets[batch.rows]) == {batch.bucket}


def test_order_is_a_function_of_seed_and_step() -> None:
    buckets = np.zeros(40, dtype=np.int32)

    def order(seed: int, steps: range) -> list:
        plan = Plan(buckets, 4, seed)
        return [plan.parts(step)[0].rows.tolist() for step in steps]

    assert order(0, range(20))[15:] == order(0, range(15, 20))
    assert order(0, range(10)) != order(0, range(10, 20))
    assert order(0, range(10)) != order(1, range(10))
    plan = Plan(buckets, 4, 0)
    plan.parts(0)
    again = pickle.loads(pickle.dumps(plan))
    assert again.parts(7)[0].rows.tolist() == plan.parts(7)[0].rows.tolist()


def test_shares_are_contiguous_and_complete() -> None:
    rows = np.arange(7)
    for world in (1, 2, 3, 9):
        parts = [share(rows, rank, world) for rank in range(world)]
        assert np.concatenate(parts).tolist() == rows.tolist()
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_phases_move_windows_of_a_recording_together() -> None:
    slack = np.array([1000, 1000, 50, 0])
    recordings = np.array([4, 4, 7, 9])
    found = [phases(slack, recordings, seed=0, epoch=e) for e in range(50)]
    assert all(p[0] == p[1] and p[3] == 0 for p in found)
    assert all((0 <= p).all() and (p <= slack).all() for p in found)
    assert len({int(p[0]) for p in found}) > 40
    # Batch mates do not matter.
    np.testing.assert_array_equal(phases(slack[2:], recordings[2:], 0, 3), found[3][2:])


def test_subjects_are_held_out_whole() -> None:
    many = [recording(2000, (1, 2), subject=str(i // 2)) for i in range(40)]
    train, val = split_recordings(many, 0.1)
    assert sorted(train + val) == list(range(40))
    assert len(val) == 4
    assert not {many[i].subject for i in train} & {many[i].subject for i in val}
    # A store that grows keeps most of its split.
    more = many + [recording(2000, (1, 2), subject=str(100 + i)) for i in range(20)]
    _, val_of_more = split_recordings(more, 0.1)
    assert len(set(val) & set(val_of_more)) >= 2


def test_a_split_of_the_data_set_is_followed() -> None:
    there = [
        recording(2000, (1,), str(i), split) for i, split in enumerate(["train", "val", "test"])
    ]
    assert split_recordings(there, 0.5) == ([0], [1])
    assert split_recordings([recording(2000, (1,))], 0.5) == ([0], [])
    assert split_recordings(there[:1] * 2, 0.0) == ([0, 1], [])


@pytest.mark.parametrize("fraction", [0.01, 0.05])
def test_somebody_is_always_held_out(fraction: float) -> None:
    two = [recording(2000, (1,), str(i)) for i in range(2)]
    assert [len(part) for part in split_recordings(two, fraction)] == [1, 1]
