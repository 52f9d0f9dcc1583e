"""Test recordings of downstream data sets are kept out of pretraining."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tuh_files import names, write_edf

from mne_neurolm.datasets.catalog import get_spec
from mne_neurolm.datasets.leakage import HeldOut
from mne_neurolm.datasets.specs import Member
from mne_neurolm.prepare import main
from mne_neurolm.store import Store
from mne_neurolm.store.sources import find_source, list_jobs

EVAL = "aaaaaayx"  # an evaluation subject of TUAB: 00000647 in the files of v2.0.0
SLOWING = "aaaaaedy"  # a test subject of TUSL


def place(subject: str, reference: str = "01_tcp_ar") -> str:
    return f"edf/000/{subject}/s001_2010/{reference}/{subject}_s001_t000.edf"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return TUEG with two people whom others test on, one whom none does, and linked ears."""
    root = tmp_path / "tueg"
    for seed, subject in enumerate((EVAL, SLOWING, "aaaaaaaa", "aaaaaaab")):
        write_edf(root / place(subject), seed=seed, seconds=40 + 20 * (subject == EVAL))
    write_edf(root / place("aaaaaaac", "02_tcp_le"), labels=names("LE"), seed=9, seconds=50)
    return root


def prepare(corpus: Path, *options: object) -> dict[str, dict[str, str]]:
    """Return the report of a store by subject."""
    output = corpus.parent / "store"
    arguments = ["tueg", "--root", corpus, "--output", output, *options, "--n-jobs", 1, "--quiet"]
    assert main([str(argument) for argument in arguments]) == 0
    with open(output / "report.tsv", newline="") as file:
        return {row["name"].split("/")[3]: row for row in csv.DictReader(file, dialect="excel-tab")}


def stored(corpus: Path) -> set[str]:
    return {recording.subject for recording in Store(corpus.parent / "store").recordings}


def test_subjects_of_test_sets_are_held_out(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = prepare(corpus)
    assert stored(corpus) == {"aaaaaaaa", "aaaaaaab"}
    assert report[EVAL]["reason"] == "held out: subject of the test set of tuab"
    assert report[SLOWING]["reason"] == "held out: subject of the test set of tusl"
    assert (report[EVAL]["status"], report[EVAL]["seconds"]) == ("skipped", "60.000")
    assert report["aaaaaaac"]["reason"].startswith("reference: linked ears (--linked-ears keep")
    shown = capsys.readouterr().out
    assert "held out      263 subjects of the test sets of tuab, tusl" in shown
    assert "files of tuev do not tell" in shown
    assert "2 held out, 0.03 h" in shown and "1 reference, 0.01 h" in shown


def test_the_name_may_be_in_capitals(corpus: Path) -> None:
    arguments = ["TUEG", "--root", str(corpus), "--output", str(corpus.parent / "store")]
    assert main([*arguments, "--n-jobs", "1", "--quiet"]) == 0
    assert stored(corpus) == {"aaaaaaaa", "aaaaaaab"}
    assert {r.dataset for r in Store(corpus.parent / "store").recordings} == {"tueg"}


def test_a_plain_folder_is_told_of(corpus: Path) -> None:
    with pytest.warns(RuntimeWarning, match="5 of 5 files .* TUH EEG Corpus.*prepare tueg --root"):
        find_source(str(corpus), root=None, dataset=None)


def test_subjects_below_a_deeper_root(tmp_path: Path) -> None:
    """Folders above the root say whose a recording is."""
    for label in ("normal", "abnormal"):
        write_edf(tmp_path / f"edf/train/{label}/01_tcp_ar/aaaaaaaa_s00{len(label)}_t000.edf")
    jobs = list_jobs([find_source("tuab", root=tmp_path / "edf/train", dataset=None)])
    assert [job.subject for job in jobs] == ["aaaaaaaa", "aaaaaaaa"]


def test_choices(corpus: Path) -> None:
    prepare(corpus, "--allow-overlap", "--linked-ears", "keep")
    assert stored(corpus) == {EVAL, SLOWING, "aaaaaaaa", "aaaaaaab", "aaaaaaac"}
    prepare(corpus)  # what should not have been stored goes
    assert stored(corpus) == {"aaaaaaaa", "aaaaaaab"}


def test_folders_add_to_the_list(corpus: Path, tmp_path: Path) -> None:
    tuab = tmp_path / "tuab"
    for part, subject in (("eval", "aaaaaaab"), ("train", "aaaaaaaa")):
        folder = tuab / f"v3.0.1/edf/{part}/normal/01_tcp_ar"
        folder.mkdir(parents=True)
        (folder / f"{subject}_s002_t001.edf").touch()  # another session of the person
    prepare(corpus, "--held-out", f"tuab={tuab}")
    assert stored(corpus) == {"aaaaaaaa"}


def test_old_numbers_are_the_same_people() -> None:
    held_out = HeldOut("tueg")
    assert (
        held_out.reason(Member(Path(), "00000647")) == held_out.reason(Member(Path(), EVAL)) != ""
    )
    assert held_out.unknown == ("tuev",)
    assert HeldOut("siena").subjects == {}


def test_list_is_that_of_the_data_sets() -> None:
    """All listed TUAB subjects are tested on; of TUSL those whom its split tests on."""
    subjects = HeldOut("tueg").subjects
    protocol = get_spec("tusl").protocol
    assert protocol is not None
    split = protocol.variants["paper"].split
    of_tusl = {subject for subject, why in subjects.items() if why.endswith("tusl")}
    assert {split(Member(Path(), subject), -1, []) for subject in of_tusl} == {"test"}
    assert len(of_tusl) == 10 and len(subjects) - len(of_tusl) == 253
    assert all(len(subject) == 8 and subject.isalpha() for subject in subjects)


def test_wrong_calls(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(*arguments: object) -> str:
        assert main([str(a) for a in arguments] + ["--output", str(tmp_path / "s")]) == 1
        return capsys.readouterr().err

    root = ("tueg", "--root", corpus)
    assert "not both" in error(*root, "--allow-overlap", "--held-out", f"tuab={corpus}")
    assert "hold no file like edf/eval" in error(*root, "--held-out", f"tuab={corpus}")
    assert "'hmc' is no data set that tueg contains" in error(*root, "--held-out", f"hmc={corpus}")
    assert "--held-out is for corpora" in error("siena", "--root", corpus, "--held-out", "tuab=x")
    assert "in a command of its own" in error("tueg", "siena", "--root", corpus)
    with pytest.raises(SystemExit):
        main(["tueg", "--root", str(corpus), "--output", str(tmp_path / "s"), "--held-out", "tuab"])
    assert "must be like tuab=FOLDER" in capsys.readouterr().err
