"""The command that makes, shows and verifies a store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_neurolm.prepare import main
from mne_neurolm.store import Store


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with two EDF files of one subject, and one that is none."""
    rng = np.random.default_rng(0)
    for run in (1, 2):
        info = mne.create_info(["Fp1", "Fp2", "ECG"], 250.0, "eeg")
        raw = mne.io.RawArray(2e-5 * rng.standard_normal((3, 10_000)), info, verbose="error")
        path = tmp_path / f"lab/Subject04_{run}.edf"
        path.parent.mkdir(exist_ok=True)
        mne.export.export_raw(path, raw, verbose="error")
    (tmp_path / "lab/notes.edf").write_bytes(b"no EDF")
    return tmp_path / "lab"


def prepare(*arguments: object) -> int:
    return main([str(argument) for argument in arguments] + ["--n-jobs", "1", "--quiet"])


def test_prepare_inspect_verify(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "store"
    assert prepare(source, "--output", output, "--line-freq", "50", "--dataset", "mine") == 0
    text = capsys.readouterr().out
    assert "this run      3 files: 2 stored, 0 unchanged" in text
    assert "1 cannot be read" in text and "recordings    2, 0.02 h, 1 subjects" in text
    store = Store(output)
    assert [r.name for r in store.recordings] == ["mine/Subject04_1.edf", "mine/Subject04_2.edf"]
    assert {(r.subject, r.line_freq, r.ch_names) for r in store.recordings} == {
        ("Subject04", 50.0, ("Fp1", "Fp2"))
    }
    report = (output / "report.tsv").read_text().splitlines()
    assert len(report) == 4 and "mine/notes.edf\tfailed\tcannot be read: " in report[3]

    assert main(["inspect", str(output)]) == 0
    assert capsys.readouterr().out in text.replace("this run", "", 1).partition("\n")[2] + "\n"
    assert main(["verify", str(output)]) == 0
    assert "2 recordings, 64000 bytes: all as" in capsys.readouterr().out

    shard = output / "shards/00000.bin"
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    shard.write_bytes(data)
    assert main(["verify", str(output)]) == 1
    captured = capsys.readouterr()
    assert "mine/Subject04_1.edf: bytes 0 to 32000" in captured.out
    assert "--repair" in captured.err
    assert prepare(source, "--output", output, "--line-freq", "50", "--dataset", "mine") == 0
    assert (
        prepare(source, "--output", output, "--dataset", "mine", "--line-freq", "50", "--repair")
        == 0
    )
    assert "damaged dropped" in capsys.readouterr().out
    assert main(["verify", str(output)]) == 0
    assert Store(output).fingerprint == store.fingerprint


def test_subjects_of_known_file_names_do_not_leak(source: Path, tmp_path: Path) -> None:
    assert prepare(source, "--output", tmp_path / "store", "--line-freq", "none") == 0
    assert {r.subject for r in Store(tmp_path / "store").recordings} == {"Subject04"}


def test_known_data_set(write_eegmat: Callable[..., Path], tmp_path: Path) -> None:
    """The labels, split and line frequency of a known data set get into the store."""
    for name, seconds in (("Subject04_1", 70), ("Subject31_2", 62), ("Subject05_1", 40)):
        write_eegmat(tmp_path / "root", name, seconds=seconds)
    (tmp_path / "root/notes.edf").write_bytes(b"no EDF")
    root, output = tmp_path / "root", tmp_path / "store"
    assert prepare("workload", "--root", root, "--output", output) == 0
    rest, task = Store(output).recordings
    assert (rest.dataset, rest.subject, rest.split) == ("workload", "Subject04", "train")
    assert (task.subject, task.split, task.line_freq) == ("Subject31", "test", 50.0)
    assert rest.annotations == ((10.0, 60.0, "No"),) and task.annotations == ((2.0, 60.0, "Yes"),)
    lines = (output / "report.tsv").read_text().splitlines()
    assert len(lines) == 4  # notes.edf is none of its recordings
    assert "skipped\tnot as in workload: lasts 40.0 s; the task takes the last 60 s" in lines[2]


def test_several_sources_and_options(source: Path, tmp_path: Path) -> None:
    one = source / "Subject04_1.edf"
    two = source / "Subject04_2.edf"
    options = ("--split", "val", "--subject-pattern", r"_(\d)", "--shard-gb", "0.00004")
    assert (
        prepare(one, two, "--output", tmp_path / "store", "--segment-minutes", "2", *options) == 0
    )
    store = Store(tmp_path / "store")
    assert [(r.subject, r.split) for r in store.recordings] == [("1", "val"), ("2", "val")]
    assert {r.shard for r in store.recordings} == {"shards/00000.bin", "shards/00001.bin"}


def test_nothing_usable(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(source, "--output", tmp_path / "store", "--min-seconds", "100") == 1
    captured = capsys.readouterr()
    assert "2 too short" in captured.out
    assert "error: no recording could be stored" in captured.err and "report.tsv" in captured.err
    assert prepare(source, "--output", tmp_path / "store") == 0  # with the usual length it is fine


def test_errors(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and not captured.out
        return captured.err

    (tmp_path / "empty").mkdir()
    output = tmp_path / "store"
    assert "no file or folder" in error(tmp_path / "nowhere", "--output", output)
    assert "hold no recording" in error(tmp_path / "empty", "--output", output)
    assert "with --root FOLDER" in error("eegmat", "--output", output)
    assert "not a store and not empty" in error(source, "--output", source)
    assert "is not a store of EEG" in error("inspect", tmp_path)
    assert "is not a store of EEG" in error("verify", tmp_path)
    assert not output.exists()
    for options in (["--line-freq", "-5"], ["--n-jobs", "0"], ["--min-seconds", "x"]):
        with pytest.raises(SystemExit) as stop:
            main([str(source), "--output", str(output), *options])
        assert stop.value.code == 2


def test_as_a_command(source: Path, tmp_path: Path) -> None:
    """The progress bar goes to standard error, and warnings go to the report only."""
    command = [sys.executable, "-W", "error", "-m", "mne_neurolm.prepare", str(source)]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "store"), "--n-jobs", "1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "3/3" in done.stderr and "file" in done.stderr and " h" in done.stderr
    assert "Warning" not in done.stderr and "notch" not in done.stderr
    assert "no notch" in (tmp_path / "store/report.tsv").read_text()
