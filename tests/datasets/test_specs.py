"""What is known about data sets."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from mne_neurolm.channels import channel_index
from mne_neurolm.datasets.catalog import ALIASES, DATASETS, find_subject, get_spec
from mne_neurolm.datasets.specs import PARTS, DatasetSpec
from mne_neurolm.tasks import TASKS

DOWNSTREAM = {"tuab", "tuev", "tusl", "seed", "hmc", "workload"}  # paper, Table 1
PRETRAINING = {  # paper, Table 6, without the private corpus
    "tueg",
    "seed-iv",
    "seed-v",
    "seed-ger",
    "seed-fra",
    "bcic-iv-1",
    "emobrain",
    "grasp-and-lift",
    "inria-bci",
    "eegbci",
    "raw-eeg",
    "resting-state",
    "siena",
    "spis",
    "bi2015a",
}


@pytest.fixture(params=sorted(DOWNSTREAM | PRETRAINING))
def spec(request: pytest.FixtureRequest) -> DatasetSpec:
    return DATASETS[request.param]


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("Subject00_1.edf", "Subject00"),
        ("any/folder/Subject00_2.edf", "Subject00"),
        ("S001/S001R03.edf", "S001"),
        ("files/S109R14.edf", "S109"),
        ("000/aaaaaaab/s003_2002/02_tcp_le/aaaaaaab_s003_t000.edf", "aaaaaaab"),
        ("sub-07/ses-1/eeg/sub-07_ses-1_eeg.vhdr", "07"),
        ("anna/1.edf", "anna"),
        ("Subject00_3.edf", "Subject00_3"),
    ],
)
def test_subjects(name: str, subject: str) -> None:
    assert find_subject(name) == subject


def test_all_data_sets_of_the_paper_are_there() -> None:
    assert set(DATASETS) == DOWNSTREAM | PRETRAINING
    assert {name for name, spec in DATASETS.items() if spec.protocol is not None} == DOWNSTREAM
    assert set(ALIASES.values()) <= set(DATASETS) and not set(ALIASES) & set(DATASETS)


def test_spec_is_complete(spec: DatasetSpec) -> None:
    assert spec.line_freq in (50.0, 60.0)
    for fact in ("title", "montage", "loader", "licence", "access", "citation", "layout"):
        assert getattr(spec, fact).strip(), fact
    assert spec.url.startswith("https://")
    assert spec.tested in ("real", "miniature")
    assert spec.sfreqs or spec.rate
    assert spec.url in spec.how_to_get() and spec.licence in spec.how_to_get()
    if spec.protocol is None:
        assert spec.hours
    else:
        assert spec.channels and spec.labels and spec.split
        assert len({channel_index(name) for name in spec.channels}) == len(spec.channels)
        assert spec.protocol.task in TASKS
        variants = set(spec.protocol.variants)
        assert "paper" in variants and variants <= {"paper", "code"}
        for name, way in spec.protocol.variants.items():
            assert way.note or name == "paper"


def test_pattern_finds_its_example(spec: DatasetSpec) -> None:
    for path in (spec.example, f"/data/{spec.name}/{spec.example}"):
        member = spec.member(path)
        assert member is not None and member.subject, path
        if spec.protocol is not None:
            for way in spec.protocol.variants.values():
                assert way.split(member, -1, [member]) in (*PARTS, "")
                assert way.split(member, 0, [member]) in PARTS
    assert spec.member(spec.example + ".txt") is None and spec.member("notes.pdf") is None


def test_unmistakable_names_are_of_one_data_set() -> None:
    alone = [spec for spec in DATASETS.values() if spec.patterns_alone]
    for spec in alone:
        assert [s.name for s in alone if s.member(spec.example)] == [spec.name]


def test_table_in_the_documentation_is_up_to_date() -> None:
    root = Path(__file__).resolve().parents[2]
    location = spec_from_file_location("dataset_table", root / "tools" / "dataset_table.py")
    assert location is not None and location.loader is not None
    tool = module_from_spec(location)
    location.loader.exec_module(tool)
    assert (root / "doc" / "dataset_table.inc").read_text() == tool.page(), (
        "run python tools/dataset_table.py"
    )


def test_names() -> None:
    assert get_spec("EEGMAT") is DATASETS["workload"] and get_spec("HMC") is DATASETS["hmc"]
    with pytest.raises(ValueError, match="Did you mean 'tuab'.*Known are .*siena.*load_folder"):
        get_spec("tuabb")
