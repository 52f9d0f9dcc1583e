"""Many files into a store: what is new, changed, double, broken; kills and crashes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_files import make_raw, save

from mne_neurolm.store import Store
from mne_neurolm.store import preparation as module
from mne_neurolm.store.check import verify
from mne_neurolm.store.format import MANIFEST
from mne_neurolm.store.parallel import run_jobs
from mne_neurolm.store.preparation import Progress, prepare
from mne_neurolm.store.report import File, report_from_bytes
from mne_neurolm.store.sources import find_source, list_jobs


def run(
    source: Path, output: Path, *, dataset: str | None = None, **options: Any
) -> tuple[Progress, dict[str, File]]:
    """Prepare a folder; return what was done, and the report by file name."""
    own = {k: options.pop(k) for k in ("n_jobs", "shard_bytes", "repair") if k in options}
    jobs = list_jobs([find_source(str(source), root=None, dataset=dataset)], **options)
    done = prepare(jobs, output, **own)
    lines = report_from_bytes((output / "report.tsv").read_bytes())
    assert not verify(output).problems
    assert not list((output / "parts").iterdir())
    return done, {line.name: line for line in lines}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder of three good recordings and one that is too short."""
    for k, name in enumerate(("anna/1", "anna/2", "ben/1")):
        save(make_raw(seed=k, seconds=8.0 + k), tmp_path / f"lab/{name}_raw.fif")
    save(make_raw(seconds=2.0), tmp_path / "lab/ben/short_raw.fif")
    return tmp_path / "lab"


def test_a_folder(source: Path, tmp_path: Path) -> None:
    done, report = run(source, tmp_path / "store")
    assert (done.seen, done.stored, done.unchanged, done.n_recordings) == (4, 3, 0, 3)
    store = Store(tmp_path / "store")
    assert [(r.name, r.dataset, r.subject, r.split) for r in store.recordings] == [
        ("lab/anna/1_raw.fif", "lab", "anna", ""),
        ("lab/anna/2_raw.fif", "lab", "anna", ""),
        ("lab/ben/1_raw.fif", "lab", "ben", ""),
    ]
    assert [len(store.volts(k)) for k in range(3)] == [1600, 1800, 2000]
    assert {name: line.status for name, line in report.items()} == {
        "lab/anna/1_raw.fif": "stored",
        "lab/anna/2_raw.fif": "stored",
        "lab/ben/1_raw.fif": "stored",
        "lab/ben/short_raw.fif": "skipped",
    }
    assert report["lab/ben/short_raw.fif"].reason.startswith("too short: 2 s")


def test_a_second_run_does_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, tmp_path / "store")
    before = Store(tmp_path / "store").fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(module, "prepare_file", None)  # it would be called
        done, report = run(source, tmp_path / "store")
    assert (done.stored, done.unchanged, len(report)) == (0, 4, 4)
    assert Store(tmp_path / "store").fingerprint == before
    # other thresholds concern what was skipped
    done, report = run(source, tmp_path / "store", min_seconds=1.0)
    assert (done.stored, done.unchanged) == (1, 3)
    assert report["lab/ben/short_raw.fif"].status == "stored"


def test_new_changed_touched_and_failed_files(source: Path, tmp_path: Path) -> None:
    (source / "ben/bad.edf").write_bytes(b"no EDF")
    _, report = run(source, tmp_path / "store")
    assert report["lab/ben/bad.edf"].status == "failed"
    size = (tmp_path / "store/shards/00000.bin").stat().st_size
    save(make_raw(seed=10), source / "carl/1_raw.fif")  # new
    save(make_raw(seed=11, seconds=30.0), source / "anna/1_raw.fif")  # changed
    save(make_raw(seconds=1.0), source / "ben/1_raw.fif")  # changed, and not usable any more
    os.utime(source / "anna/2_raw.fif", (1, 1))  # touched
    done, report = run(source, tmp_path / "store")
    assert (done.seen, done.stored, done.unchanged) == (6, 2, 1)  # the short one is unchanged
    store = Store(tmp_path / "store")
    lengths = {r.name: r.n_times for r in store.recordings}
    assert lengths == {
        "lab/anna/1_raw.fif": 6000,
        "lab/anna/2_raw.fif": 1800,
        "lab/carl/1_raw.fif": 4000,
    }
    assert report["lab/ben/1_raw.fif"].reason.startswith("too short")
    # the touched file was not prepared again: only two recordings were appended
    assert (tmp_path / "store/shards/00000.bin").stat().st_size == size + (6000 + 4000) * 4 * 2
    done, _ = run(source, tmp_path / "store")
    assert (done.stored, done.unchanged) == (0, 5)  # what failed is tried every time
    # the result is what preparing everything at once gives
    run(source, tmp_path / "fresh")
    assert Store(tmp_path / "fresh").fingerprint == store.fingerprint


def test_other_line_frequency_and_other_subjects(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "store")
    size = (tmp_path / "store/shards/00000.bin").stat().st_size
    done, _ = run(source, tmp_path / "store", subject_pattern=r"\w+(?=_raw)", split="val")
    assert done.stored == 0
    assert {(r.subject, r.split) for r in Store(tmp_path / "store").recordings} == {
        ("1", "val"),
        ("2", "val"),
    }
    assert (tmp_path / "store/shards/00000.bin").stat().st_size == size
    done, _ = run(source, tmp_path / "store", line_freq=60.0)
    assert done.stored == 3
    assert {r.line_freq for r in Store(tmp_path / "store").recordings} == {60.0}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_duplicates(tmp_path: Path, order: tuple[str, str]) -> None:
    """The first by name is kept, whichever comes first."""
    original = save(make_raw(), tmp_path / "original_raw.fif")
    source, output = tmp_path / "lab", tmp_path / "store"
    source.mkdir()
    for name in order:
        shutil.copy(original, source / f"{name}_raw.fif")
        _, report = run(source, output)
    assert [r.name for r in Store(output).recordings] == ["lab/a_raw.fif"]
    assert report["lab/b_raw.fif"].status == "duplicate"
    assert report["lab/b_raw.fif"].reason == "same content as lab/a_raw.fif"
    done, _ = run(source, output)
    assert (done.stored, done.unchanged) == (0, 2)
    # when the first gets other content, the second is no duplicate any more
    save(make_raw(seed=5), source / "a_raw.fif")
    done, report = run(source, output)
    assert done.stored == 2 and len(Store(output)) == 2


def test_other_content_under_the_same_name(tmp_path: Path) -> None:
    for site in ("site1", "site2"):
        save(make_raw(seed=len(site)), tmp_path / site / "eeg/a_raw.fif")
    jobs = [
        find_source(str(tmp_path / s / "eeg"), root=None, dataset=None) for s in ("site1", "site2")
    ]
    with pytest.raises(ValueError, match=r"both be called 'eeg/a_raw.fif'.*--dataset"):
        list_jobs(jobs)
    run(tmp_path / "site1/eeg", tmp_path / "store")
    with pytest.raises(ValueError, match=r"would be called 'eeg/a_raw.fif', as .*--dataset"):
        run(tmp_path / "site2/eeg", tmp_path / "store")
    # the same file at another place is another thing
    (tmp_path / "site1").rename(tmp_path / "moved")
    done, report = run(tmp_path / "moved/eeg", tmp_path / "store")
    assert done.unchanged == 1
    assert report["eeg/a_raw.fif"].source == str(tmp_path / "moved/eeg/a_raw.fif")


def test_processes_give_the_same(source: Path, tmp_path: Path) -> None:
    (source / "ben/bad.edf").write_bytes(b"no EDF")
    one, report = run(source, tmp_path / "one")
    two, same_report = run(source, tmp_path / "two", n_jobs=2)
    assert Store(tmp_path / "one").fingerprint == Store(tmp_path / "two").fingerprint
    assert (one, report) == (two, same_report)


def test_repair(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "store"
    run(source, output, shard_bytes=2000 * 8)
    before = Store(output).fingerprint
    damaged = Store(output).recordings[1]
    shard = output / damaged.shard
    data = bytearray(shard.read_bytes())
    data[damaged.offset + 17] ^= 4
    shard.write_bytes(data)
    assert verify(output).problems
    done, _ = run(source, output, repair=True)
    assert (done.repaired, done.stored) == (1, 1)
    assert Store(output).fingerprint == before


def test_interrupted(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = module.prepare_file, []

    def interrupt(job, part):
        calls.append(job)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(job, part)

    with monkeypatch.context() as patch:
        patch.setattr(module, "prepare_file", interrupt)
        done, _ = run(source, tmp_path / "store")
    assert done.interrupted and done.n_recordings == 2
    done, _ = run(source, tmp_path / "store")
    assert not done.interrupted and (done.stored, done.unchanged) == (1, 2)


def test_kill_and_continue(tmp_path: Path) -> None:
    """Kill -9 while it writes, twice; the result is that of an uninterrupted run."""
    for k in range(24):
        raw = make_raw(seed=k, seconds=40.0, sfreq=512.0, ch_names=("Fz", "Cz", "Pz", "O1", "O2"))
        save(raw, tmp_path / f"lab/{k:02d}_raw.fif")
    output = tmp_path / "store"
    command = [sys.executable, "-m", "mne_neurolm.prepare", str(tmp_path / "lab")]
    command += ["--output", str(output), "--quiet", "--n-jobs", "1"]
    # commit at once, so that there is something to lose and something to keep
    start = "import sys, mne_neurolm.store.preparation as p; p._COMMIT_SECONDS = 0.0\n"
    start += "from mne_neurolm.prepare import main; sys.exit(main(sys.argv[1:]))"
    n_stored = 0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", start, *command[3:]])
        deadline = time.monotonic() + 200.0
        while time.monotonic() < deadline:
            if (output / MANIFEST).exists() and len(Store(output)) >= n_stored + 3:
                break
            time.sleep(0.005)
        else:
            pytest.fail(f"nothing was stored in 200 s; the run ended with {process.poll()}")
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        store = Store(output)
        assert n_stored < len(store) < 24
        n_stored = len(store)
        for index, recording in enumerate(store.recordings):
            store.counts(index, 0, recording.n_times)
        verdict = verify(output)
        assert not verdict.problems and "interrupted" in verdict.remarks[0]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"24 files: {24 - n_stored} stored, {n_stored} unchanged" in done.stdout
    run(tmp_path / "lab", tmp_path / "whole")
    assert Store(output).fingerprint == Store(tmp_path / "whole").fingerprint
    sizes = [
        sum(f.stat().st_size for f in (p / "shards").iterdir())
        for p in (output, tmp_path / "whole")
    ]
    assert sizes[0] == sizes[1]  # nothing was stored twice


def _work(job: int, path: Path) -> tuple[str, int]:
    if job == 3:
        os._exit(9)  # as if the system had killed it
    return "done", job


def _died(job: int) -> tuple[str, int]:
    return "died", job


def test_a_process_that_dies_costs_only_its_file() -> None:
    submissions = ((k, Path(str(k))) for k in range(6))
    results = [r for batch in run_jobs(_work, submissions, 2, died=_died) for r in batch]
    assert sorted((job, result) for job, _, result in results) == [
        (k, ("died" if k == 3 else "done", k)) for k in range(6)
    ]


def test_known_data_sets(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "eegmat"
    source = find_source("eegmat", root=root, dataset=None)
    jobs = list_jobs([source])
    assert len(jobs) == 62 and len({job.subject for job in jobs}) == 31
    assert {job.known_line_freq for job in jobs} == {50.0}
    assert jobs[0].name == "workload/Subject00_1.edf"
    source.files[:] = [file for file in source.files if "Subject07" in file.name]
    prepare(list_jobs([source]), tmp_path / "store")
    store = Store(tmp_path / "store")
    assert {(r.subject, r.line_freq, len(r.channels)) for r in store.recordings} == {
        ("Subject07", 50.0, 19)
    }
    with pytest.raises(FileNotFoundError, match="hold no file like S001/S001R01.edf.*physionet"):
        find_source("eegbci", root=root, dataset=None)
    with pytest.raises(
        ValueError, match="the name of a known data set.*Known are .*workload.*Leave --root out"
    ):
        find_source(str(root), root=root, dataset=None)
    with pytest.raises(FileNotFoundError, match="with --root FOLDER"):
        find_source("eegbci", root=None, dataset=None)


def test_subject_patterns(source: Path) -> None:
    def subjects(pattern: str) -> set[str]:
        found = find_source(str(source), root=None, dataset=None)
        return {job.subject for job in list_jobs([found], subject_pattern=pattern)}

    assert subjects(r"^\w+") == {"anna", "ben"}
    assert subjects(r"/(\w+)_raw") == {"1", "2", "short"}
    assert subjects(r"(\w+)/(?P<subject>\w)") == {"1", "2", "s"}
    with pytest.raises(ValueError, match=r"'\^anna' is not found in 'ben/1_raw.fif'"):
        subjects("^anna")


def test_single_file_and_links(source: Path, tmp_path: Path) -> None:
    """Names are those of the links, as in data sets kept by git-annex."""
    annex = save(make_raw(seed=9), tmp_path / "annex/objects/XYZ_raw.fif")
    (source / "linked_raw.fif").symlink_to(annex)
    (job,) = list_jobs([find_source(str(source / "linked_raw.fif"), root=None, dataset=None)])
    assert job.name == "lab/linked_raw.fif"
    prepare([job], tmp_path / "store")
    assert len(Store(tmp_path / "store")) == 1
    assert json.loads((tmp_path / "store/manifest.json").read_bytes())["recordings"].keys() == {
        "lab/linked_raw.fif"
    }
    assert np.isfinite(Store(tmp_path / "store").volts(0)).all()


def test_names_that_are_not_unicode(source: Path, tmp_path: Path) -> None:
    """Such names exist on file systems; the recording is stored under an escaped name."""
    file = next(source.rglob("*.fif"))
    odd = Path(os.fsdecode(os.fsencode(str(source)) + b"/b\xe9_raw.fif"))
    try:
        shutil.copy(file, odd)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    file.unlink()
    run(source, tmp_path / "store")
    run(source, tmp_path / "store")
    assert any("b\\xe9_raw.fif" in r.name for r in Store(tmp_path / "store").recordings)
