"""The six downstream data sets of the paper (section 3.1, Tables 1 and 5): a table."""

from __future__ import annotations

import re

from ._montage import STANDARD_1020
from .readers import eegmat, hmc, seed, tuab, tuev, tuh, tusl
from .specs import DatasetSpec, Protocol, Variant

DOWNSTREAM: tuple[DatasetSpec, ...] = (
    DatasetSpec(
        name="tuab",
        title="TUH Abnormal EEG Corpus (TUAB)",
        # v3: train/normal/01_tcp_ar/NAME, v2: four folders more in between
        files=re.compile(
            r"(?:^|/)(?P<part>train|eval)/(?P<label>normal|abnormal)/(?:[^/]+/){0,4}"
            r"(?P<subject>[a-z]{8}|\d{8})_(?P<session>s\d{3})_(?P<run>t\d{3})\.edf$"
        ),
        example="edf/eval/abnormal/01_tcp_ar/aaaaamye_s001_t000.edf",
        read=tuab.read,
        protocol=Protocol(
            task="tuab",
            duration=10.0,
            hop=10.0,
            variants={
                "paper": Variant(tuh.split, line_freq=60.0),
                "code": Variant(
                    tuh.split,
                    line_freq=50.0,
                    note="50 Hz notch (dataset_maker/prepare_TUAB.py), where the hospital has "
                    "60 Hz. Its draw of validation subjects has no seed and cannot be repeated; it "
                    "is made apart for normal and abnormal recordings, so that some of the 54 "
                    "subjects with both are in two parts. Subjects stay in the paper's parts.",
                ),
            },
        ),
        channels=tuh.CHANNELS,
        line_freq=60.0,  # Philadelphia
        rate=tuh.RATE,
        hours=1142.0,
        n_subjects=2329,
        montage="21 of the 10-20 system with A1 and A2, T1, T2 (files without these are left out)",
        reference="average (AR)",
        labels="normal or abnormal, by recording",
        split="the corpus's evaluation files are for testing; of the other subjects 80/20 % for "
        "training and validation, by a hash of their ids",
        loader="MNE-Python (EDF)",
        tested="miniature",
        licence="TUH EEG terms of use, no redistribution",
        access="free of charge after registration",
        url="https://isip.piconepress.com/projects/nedc/html/tuh_eeg/",
        citation="Lopez (2017), Automated identification of abnormal EEGs, Temple University; "
        "Obeid and Picone (2016), The Temple University Hospital EEG Data Corpus, Frontiers in "
        "Neuroscience 10:196",
        layout="AAREADME.txt of v2.0.0 and v3.0.1 (subjects, hours, no subject is in two official "
        "parts), file list of v2.0.0 (github.com/fldbock/eeg_time_series_transfer_learning)",
    ),
    DatasetSpec(
        name="tuev",
        title="TUH EEG Events Corpus (TUEV)",
        # train/aaaaaaar/aaaaaaar_00000001.edf and eval/001/pled_001_a_2.edf
        files=re.compile(
            r"(?:^|/)(?P<part>train|eval)/(?P<subject>[a-z]{8}|\d{8}|\d{3})/(?:(?P=subject)_)?"
            r"(?P<run>(?<=_)\d{8}|[a-z]{4}_(?P=subject)_[a-z]_\d*)\.edf$"
        ),
        example="edf/train/aaaaaaar/aaaaaaar_00000001.edf",
        read=tuev.read,
        companions=tuev.companions,
        protocol=Protocol(
            task="tuev",
            duration=5.0,
            hop=5.0,
            # An event of 1 s with 2 s before and after. At the ends of a recording the window is
            # moved inside; the released code fills it from the other end of the recording.
            lead=2.0,
            variants={
                "paper": Variant(tuh.split, line_freq=60.0),
                "code": Variant(
                    tuh.split,
                    line_freq=50.0,
                    note="50 Hz notch (dataset_maker/prepare_TUEV.py), where the hospital has "
                    "60 Hz. Its draw of validation subjects cannot be repeated: it goes by the "
                    "order of a Python set. Subjects stay in the paper's parts.",
                ),
            },
        ),
        channels=tuh.CHANNELS,
        line_freq=60.0,  # Philadelphia
        rate=tuh.RATE,
        n_subjects=370,
        montage="21 of the 10-20 system with A1 and A2, T1, T2",
        reference="average (AR)",
        labels="6 kinds of events, by second and channel: every line of a label file is a window",
        split="the corpus's evaluation files, which have subject numbers of their own, are for "
        "testing; of the other subjects 80/20 % for training and validation, by a hash of their "
        "ids",
        loader="MNE-Python (EDF), own reader of the labels (.rec)",
        tested="miniature",
        licence="TUH EEG terms of use, no redistribution",
        access="free of charge after registration",
        url="https://isip.piconepress.com/projects/nedc/html/tuh_eeg/",
        citation="Harati et al. (2015), Improved EEG event classification using differential "
        "energy, IEEE SPMB, doi:10.1109/SPMB.2015.7405421",
        layout="AAREADME.txt of v1, file list of v1.0.1 (290 and 80 subjects, 359 and 159 files; "
        "github.com/fldbock/eeg_time_series_transfer_learning); v2 writes the numbers of subjects "
        "in letters (Braindecode, TUHEvents)",
    ),
    seed.SeedSpec(
        name="seed",
        title="SJTU Emotion EEG Dataset (SEED)",
        # Other files have names of this kind too: features of the same sessions, the copy of 12
        # subjects with eye tracking, and SEED's siblings.
        files=re.compile(
            r"^(?!.*/(?:\w*[Ff]eatures?\w*|eye_\w+|"
            r"SEED[_-](?:IV|V|GER|FRA|Multimodal)|eeg_raw_data|German|French)/)"
            r"(?:.*/)?(?P<subject>[1-9]|1[0-5])_(?:(?P<session>[123])\.cnt|(?P<date>20\d{6})\.mat)$"
        ),
        example="SEED_EEG/SEED_RAW_EEG/1_1.cnt",
        read=seed.read,
        protocol=Protocol(
            task="seed",
            duration=4.0,
            hop=4.0,
            variants={"paper": Variant(seed.split, line_freq=50.0)},
        ),
        channels=seed.CHANNELS,
        line_freq=50.0,  # Shanghai
        sfreqs=(1000.0, 200.0),
        rank=lambda member: int("date" in member.groups),  # .cnt before .mat
        n_subjects=15,
        montage="62 of the 10-10 system, with CB1 and CB2",
        labels="positive, neutral or negative film, by trial",
        split="trials 1-9, 10-12, 13-15 of every session",
        loader="MNE-Python (Neuroscan), SciPy (the trials that the authors cut out)",
        tested="miniature",
        licence="SEED licence agreement, academic research only",
        access="free of charge after a signed application",
        url="https://bcmi.sjtu.edu.cn/home/seed/seed.html",
        citation="Zheng and Lu (2015), Investigating critical frequency bands and channels for "
        "EEG-based emotion recognition with deep neural networks, IEEE Transactions on Autonomous "
        "Mental Development 7(3):162-175",
        layout="names of files and variables, channels and times of trials by NeuroLM's "
        "prepare_SEED.py, TorchEEG's SEEDDataset and EEG-FM-Bench's seed.py, which agree; not "
        "verified: that the .mat files are in microvolts",
    ),
    DatasetSpec(
        name="hmc",
        title="Haaglanden Medisch Centrum Sleep Staging Database (HMC)",
        files=re.compile(r"(?:^|/)(?P<subject>SN\d{3})\.edf$"),
        example="recordings/SN001.edf",
        read=hmc.read,
        companions=hmc.label_files,
        protocol=Protocol(
            task="hmc",
            duration=30.0,
            hop=30.0,
            variants={
                "paper": Variant(hmc.split, line_freq=50.0),
                "code": Variant(
                    hmc.split_of_code,
                    line_freq=50.0,
                    note="subjects SN001-SN102, SN103-SN127, SN128-SN154: the first 100, the next "
                    "25 and the other 26 of the 151 recordings of version 1.1 (prepare_HMC.py)",
                ),
            },
        ),
        channels=("F4", "C4", "O2", "C3"),
        line_freq=50.0,  # The Hague
        sfreqs=(256.0,),
        patterns_alone=True,
        n_subjects=151,
        montage="F4, C4, O2, C3",
        reference="opposite mastoid (F4-M1, C4-M1, O2-M1, C3-M2)",
        labels="sleep stages W, N1, N2, N3, R, by 30 s",
        split="subjects SN001-SN100, SN101-SN126, SN127-SN154",
        loader="MNE-Python (EDF) and a reader of the stages",
        tested="miniature",
        licence="CC BY 4.0",
        access="open",
        url="https://physionet.org/content/hmc-sleep-staging/1.1/",
        citation="Alvarez-Estevez and Rijsman (2021), Inter-database validation of a deep learning "
        "approach for automatic sleep scoring, PLoS ONE 16(8):e0256111",
        layout="PhysioNet's page, NeuroLM's prepare_HMC.py and EEG-FM-Bench's hmc.py; not "
        "verified: the date and time of the lines of the text files, which are not read",
    ),
    DatasetSpec(
        name="workload",
        title="EEG During Mental Arithmetic Tasks (EEGMAT, Workload)",
        files=re.compile(r"(?:^|/)(?P<subject>Subject\d{2})_(?P<run>[12])\.edf$"),
        example="Subject00_1.edf",
        read=eegmat.read,
        protocol=Protocol(
            task="workload",
            duration=4.0,
            hop=2.0,
            variants={"paper": Variant(eegmat.split, line_freq=50.0)},
        ),
        channels=STANDARD_1020,
        line_freq=50.0,  # Kyiv
        rate="500 Hz",
        patterns_alone=True,
        n_subjects=36,
        montage="19 of the 10-20 system",
        reference="linked ears",
        labels="rest or serial subtraction, by file",
        split="subjects 00-25, 26-30, 31-35",
        loader="MNE-Python (EDF)",
        tested="real",
        licence="ODC-BY 1.0",
        access="open",
        url="https://physionet.org/content/eegmat/1.0.0/",
        citation="Zyma et al. (2019), Electroencephalograms during mental arithmetic task "
        "performance, Data 4(1):14",
        layout="the files themselves",
    ),
    DatasetSpec(
        name="tusl",
        title="TUH EEG Slowing Corpus (TUSL)",
        # v2: aaaaaaju/s005_2010/01_tcp_ar/NAME, v1: 01_tcp_ar/002/00000254/s005_2010_11_15/NAME.
        # Other TUH corpora have such files below train, dev, eval, (ab)normal, epilepsy, or 000 ...
        # The subject is that of the folder: two files of v2 are still called by the old number.
        files=re.compile(
            r"(?:^|/)(?<!/train/)(?<!/dev/)(?<!/eval/)(?<!normal/)(?<!epilepsy/)(?<!/\d{3}/)"
            r"(?:\d{2}_tcp_\w+/\d{3}/)?(?P<subject>[a-z]{8}|\d{8})/"
            r"(?P<session>s\d{3})_\d{4}(?:_\d{2}_\d{2})?/(?:\d{2}_tcp_\w+/)?"
            r"(?:[a-z]{8}|\d{8})_s\d{3}_(?P<run>t\d{3})\.edf$"
        ),
        example="edf/aaaaaaju/s005_2010/01_tcp_ar/aaaaaaju_s005_t000.edf",
        read=tusl.read,
        companions=tusl.companions,
        protocol=Protocol(
            task="tusl",
            duration=10.0,
            hop=10.0,
            variants={
                "paper": Variant(tusl.split, line_freq=60.0),
                "code": Variant(
                    tusl.split_by_file,
                    line_freq=60.0,
                    note="Files, not subjects, in listing order (dataset_maker/prepare_TUSL.py): "
                    "the first 60 % for training, the next 20 % for testing, the last 20 % for "
                    "validation, so that subjects are in several parts.",
                ),
            },
        ),
        channels=tuh.CHANNELS,
        line_freq=60.0,  # Philadelphia
        rate=tuh.RATE,
        n_subjects=38,
        montage="21 of the 10-20 system with A1 and A2, T1, T2",
        reference="average (AR); 24 of 112 files are against linked ears and are left out",
        labels="seizure, slowing or background, events of 10 s",
        split="60/20/20 % of the subjects, by a hash of their ids",
        loader="MNE-Python (EDF), own reader of the labels (.tse_agg or .csv)",
        tested="miniature",
        licence="TUH EEG terms of use, no redistribution",
        access="free of charge after registration",
        url="https://isip.piconepress.com/projects/nedc/html/tuh_eeg/",
        citation="von Weltin et al. (2017), Electroencephalographic slowing: a primary source of "
        "error in automatic seizure detection, IEEE SPMB, doi:10.1109/SPMB.2017.8257018",
        layout="file list and labels of v1.0.1 "
        "(github.com/fldbock/eeg_time_series_transfer_learning); v2.0.1 by the readers of NeuroLM "
        "and EEG-FM-Bench, its own documentation was not at hand",
    ),
)
