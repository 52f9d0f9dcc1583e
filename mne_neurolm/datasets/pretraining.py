"""The pretraining corpora of the paper (Table 6): a table."""

from __future__ import annotations

import re

from .readers import (
    bcic,
    biosemi,
    brain_invaders,
    grasp_and_lift,
    inria,
    neuroscan,
    seed,
    siena,
    spis,
    tuh,
)
from .specs import DatasetSpec, edf

_SEED_HOURS = 170.54  # the paper gives one number for the four

PRETRAINING: tuple[DatasetSpec, ...] = (
    DatasetSpec(
        name="seed-iv",
        title="SJTU Emotion EEG Dataset for Four Emotions (SEED-IV)",
        files=re.compile(
            r"(?:^|/)eeg_raw_data/(?P<session>[123])/(?P<subject>[1-9]|1[0-5])_20\d{6}\.mat$"
        ),
        example="SEED_IV/eeg_raw_data/1/1_20160518.mat",
        read=seed.read_iv,
        line_freq=50.0,  # Shanghai
        sfreqs=(200.0,),
        hours=_SEED_HOURS,
        hours_of="SEED-IV, SEED-V, SEED-GER and SEED-FRA together",
        n_subjects=15,
        montage="62 of the 10-10 system, with CB1 and CB2",
        labels="neutral, sad, fear or happy film, by trial",
        loader="SciPy",
        tested="miniature",
        licence="SEED licence agreement, academic research only",
        access="free of charge after a signed application",
        url="https://bcmi.sjtu.edu.cn/home/seed/seed-iv.html",
        citation="Zheng et al. (2019), EmotionMeter: a multimodal framework for recognizing human "
        "emotions, IEEE Transactions on Cybernetics 49(3):1110-1122",
        layout="TorchEEG's SEEDIVDataset and EEG-FM-Bench's seed_iv.py; not verified: that the "
        "files are in microvolts",
    ),
    DatasetSpec(
        name="seed-v",
        title="SJTU Emotion EEG Dataset for Five Emotions (SEED-V)",
        # The header of one recording is broken; a repaired copy comes with it.
        files=re.compile(
            r"(?:^|/)(?!7_1_20180411\.cnt)(?P<subject>\d{1,2})_(?P<session>[123])_20\d{6}"
            r"(?:_repaired)?\.cnt$"
        ),
        example="SEED-V/EEG_raw/1_1_20180804.cnt",
        read=neuroscan.read,
        line_freq=50.0,  # Shanghai
        sfreqs=(1000.0,),
        hours=_SEED_HOURS,
        hours_of="SEED-IV, SEED-V, SEED-GER and SEED-FRA together",
        n_subjects=16,
        montage="62 of the 10-10 system, with CB1 and CB2",
        loader="MNE-Python (Neuroscan)",
        tested="miniature",
        licence="SEED licence agreement, academic research only",
        access="free of charge after a signed application",
        url="https://bcmi.sjtu.edu.cn/home/seed/seed-v.html",
        citation="Liu et al. (2022), Comparing recognition performance and robustness of "
        "multimodal deep learning models for multimodal emotion recognition, IEEE Transactions on "
        "Cognitive and Developmental Systems 14(2):715-729",
        layout="the data set's page, CBraMod's preprocessing_SEEDV.py and EEG-FM-Bench's seed_v.py",
    ),
    DatasetSpec(
        name="seed-ger",
        title="SJTU Emotion EEG Dataset of German subjects (SEED-GER)",
        files=re.compile(
            r"(?:^|/)(?:SEED[-_]GER|German)/(?:.*/)?(?P<subject>\d{1,2})_(?P<session>\d)\.cnt$"
        ),
        example="SEED_GER/German/01-EEG-raw/1_1.cnt",
        read=neuroscan.read,
        line_freq=50.0,  # Shanghai
        sfreqs=(1000.0,),
        hours=_SEED_HOURS,
        hours_of="SEED-IV, SEED-V, SEED-GER and SEED-FRA together",
        n_subjects=8,
        montage="62 of the 10-10 system, with CB1 and CB2",
        loader="MNE-Python (Neuroscan)",
        tested="miniature",
        licence="SEED licence agreement, academic research only",
        access="free of charge after a signed application",
        url="https://bcmi.sjtu.edu.cn/home/seed/seed-ger.html",
        citation="Liu et al. (2022), Identifying similarities and differences in emotion "
        "recognition with EEG and eye movements among Chinese, German, and French people, Journal "
        "of Neural Engineering 19(2):026012",
        layout="EEG-FM-Bench's seed_ger.py; not verified: the number of sessions",
    ),
    DatasetSpec(
        name="seed-fra",
        title="SJTU Emotion EEG Dataset of French subjects (SEED-FRA)",
        files=re.compile(
            r"(?:^|/)(?:SEED[-_]FRA|French)/(?:.*/)?(?P<subject>\d{1,2})_(?P<session>\d)\.cnt$"
        ),
        example="SEED_FRA/French/01-EEG-raw/1_1.cnt",
        read=neuroscan.read,
        line_freq=50.0,  # Shanghai
        sfreqs=(1000.0,),
        hours=_SEED_HOURS,
        hours_of="SEED-IV, SEED-V, SEED-GER and SEED-FRA together",
        n_subjects=8,
        montage="62 of the 10-10 system, with CB1 and CB2",
        loader="MNE-Python (Neuroscan)",
        tested="miniature",
        licence="SEED licence agreement, academic research only",
        access="free of charge after a signed application",
        url="https://bcmi.sjtu.edu.cn/home/seed/seed-fra.html",
        citation="Liu et al. (2022), Identifying similarities and differences in emotion "
        "recognition with EEG and eye movements among Chinese, German, and French people, Journal "
        "of Neural Engineering 19(2):026012",
        layout="EEG-FM-Bench's seed_fra.py; not verified: the number of sessions",
    ),
    DatasetSpec(
        name="eegbci",
        title="EEG Motor Movement/Imagery Dataset",
        files=re.compile(r"(?:^|/)(?P<subject>S\d{3})R(?P<run>\d{2})\.edf$"),
        example="S001/S001R01.edf",
        read=edf,
        line_freq=60.0,  # Albany, New York
        sfreqs=(160.0, 128.0),
        rate="160 Hz, and 128 Hz of subjects 88, 92 and 100",
        patterns_alone=True,
        hours=47.3,
        n_subjects=109,
        montage="64 of the 10-10 system",
        labels="rest (T0) and two movements, done or imagined (T1, T2), which depend on the run",
        loader="MNE-Python (EDF), as in MOABB's PhysionetMI",
        tested="real",
        licence="ODC-BY 1.0",
        access="open",
        url="https://physionet.org/content/eegmmidb/1.0.0/",
        citation="Schalk et al. (2004), BCI2000: a general-purpose brain-computer interface "
        "system, IEEE Transactions on Biomedical Engineering 51(6):1034-1043",
        layout="the files themselves",
    ),
    DatasetSpec(
        name="bcic-iv-1",
        title="BCI Competition IV, data set 1",
        # Not the true labels, which are in files called ..._true_y.mat.
        files=re.compile(
            r"(?:^|/)BCICIV_(?P<run>calib|eval)_(?P<subject>ds1[a-g])(?P<rate>_1000Hz)?\.mat$"
        ),
        example="BCICIV_1calib_1000Hz_mat/BCICIV_calib_ds1a_1000Hz.mat",
        read=bcic.read,
        line_freq=50.0,  # Berlin
        sfreqs=(1000.0, 100.0),
        rate="1000 Hz, or the same recordings at 100 Hz, which are left out if both are there",
        rank=lambda member: int("rate" not in member.groups),
        patterns_alone=True,
        hours=8.21,
        n_subjects=7,
        montage="59 of the 10-10 system, densest over the sensorimotor areas",
        labels="imagined movement of left hand, right hand or foot, in the calibration files "
        "(subjects c, d and e are artificial)",
        loader="SciPy",
        tested="miniature",
        licence="free for research with citation",
        access="free of charge after registration",
        url="https://www.bbci.de/competition/iv/",
        citation="Blankertz et al. (2007), The non-invasive Berlin Brain-Computer Interface: fast "
        "acquisition of effective performance in untrained subjects, NeuroImage 37(2):539-550",
        layout="the competition's description (desc_1.html) and EEG-FM-Bench's bcic_1a.py",
    ),
    DatasetSpec(
        name="emobrain",
        title="eNTERFACE'06 Emobrain",
        files=re.compile(
            r"(?:^|/)Part(?P<subject>\d)_IAPS_SES(?P<session>\d)_EEG_fNIRS_\d{8}\.bdf$"
        ),
        example="enterface06_EMOBRAIN/Data/EEG/Part1_IAPS_SES1_EEG_fNIRS_03082006.bdf",
        read=biosemi.read_emobrain,
        companions=biosemi.emobrain_companions,
        line_freq=50.0,  # Dubrovnik
        sfreqs=(1024.0, 256.0),
        patterns_alone=True,
        hours=4.94,
        n_subjects=5,
        montage="BioSemi's 64, of which 10 were not put on",
        reference="CMS",
        labels="markers of blocks of emotional pictures",
        loader="MNE-Python (BDF)",
        tested="miniature",
        licence="the data set's own (eNTERFACE06_EMOBRAIN_license.txt)",
        access="open",
        url="https://www.enterface.net/results/",
        citation="Savran et al. (2006), Emotion detection in the loop from brain signals and "
        "facial images, Proceedings of the eNTERFACE 2006 Workshop, Dubrovnik",
        layout="EEG-FM-Bench's emobrain.py and public readers of the markers; not verified: the "
        "names of the 8 channels beside the cap",
    ),
    DatasetSpec(
        name="grasp-and-lift",
        title="Grasp and Lift (Kaggle), or WAY-EEG-GAL",
        files=re.compile(
            r"(?:^|/)(?:subj|HS_P)(?P<subject>\d{1,2})_(?:series|S)(?P<run>\d{1,2}|T)"
            r"(?:_data\.csv|\.mat)$"
        ),
        example="train/subj1_series1_data.csv",
        read=grasp_and_lift.read,
        companions=grasp_and_lift.companions,
        line_freq=50.0,  # Umea
        sfreqs=(500.0,),
        hours=11.72,
        n_subjects=12,
        montage="32 of the 10-10 system",
        labels="phases of a grasp and lift of the hand",
        loader="pandas (CSV) or SciPy (MAT)",
        tested="miniature",
        licence="CC0 (WAY-EEG-GAL), the competition's rules (Kaggle)",
        access="free of charge, from Kaggle after registration",
        url="https://www.kaggle.com/c/grasp-and-lift-eeg-detection",
        citation="Luciw et al. (2014), Multi-channel EEG recordings during 3,936 grasp and lift "
        "trials with varying weight and friction, Scientific Data 1:140047",
        layout="EEG-FM-Bench's grasp_and_lift.py, WAY-EEG-GAL's read-me and MATLAB scripts",
    ),
    DatasetSpec(
        name="inria-bci",
        title="BCI Challenge at NER 2015 (Inria, Kaggle)",
        files=re.compile(r"(?:^|/)Data_(?P<subject>S\d{2})_(?P<session>Sess\d{2})\.csv$"),
        example="train/Data_S02_Sess01.csv",
        read=inria.read,
        companions=inria.companions,
        line_freq=50.0,  # Lyon
        sfreqs=(200.0,),
        rate="200 Hz (recorded at 600 Hz)",
        hours=29.98,
        n_subjects=26,
        montage="56 of the 10-10 system",
        labels="feedback of a speller, correct or wrong",
        loader="pandas (CSV)",
        tested="miniature",
        licence="the competition's rules",
        access="free of charge after registration with Kaggle",
        url="https://www.kaggle.com/c/inria-bci-challenge",
        citation="Perrin et al. (2012), Objective and subjective evaluation of online error "
        "correction during P300-based spelling, Advances in Human-Computer Interaction 2012:578295",
        layout="EEG-FM-Bench's inria_bci.py and public solutions; not verified: that values are "
        "microvolts, which their size says",
    ),
    DatasetSpec(
        name="raw-eeg",
        title="Raw EEG Data (Trujillo 2020)",
        files=re.compile(
            r"(?:^|/)EEG_Cat_Study\d(?:_\w+?)?_(?P<session>RB[-_]?II|II)_(?P<subject>S\d{1,3})\.bdf$"
        ),
        example="EEG_Cat_Study4_II_II_S1.bdf",
        read=biosemi.read,
        line_freq=60.0,  # San Marcos, Texas
        sfreqs=(256.0,),
        patterns_alone=True,
        hours=34.35,
        n_subjects=48,
        montage="BioSemi's 64",
        reference="CMS",
        labels="triggers of two categorization tasks in the channel Status",
        loader="MNE-Python (BDF)",
        tested="miniature",
        licence="terms of the Texas Data Repository, CC0 by default",
        access="open",
        url="https://doi.org/10.18738/T8/SS2NHB",
        citation="Trujillo (2019), Mental effort and information-processing costs are inversely "
        "related to global brain free energy during visual categorization, Frontiers in "
        "Neuroscience 13:1292",
        layout="EEG-FM-Bench's trujillo_2019.py; not verified: the names of the files of the "
        "rule-based task (RBII or RB-II), the licence",
    ),
    DatasetSpec(
        name="resting-state",
        title="Resting State EEG Data (Trujillo, Stanfield and Vela 2017)",
        files=re.compile(r"(?:^|/)EEG_Cat_Study\d_Resting_(?P<subject>S\d{1,3})\.bdf$"),
        example="EEG_Cat_Study4_Resting_S1.bdf",
        read=biosemi.read,
        line_freq=60.0,  # San Marcos, Texas
        sfreqs=(256.0,),
        patterns_alone=True,
        hours=3.04,
        n_subjects=22,
        montage="BioSemi's 64",
        reference="CMS",
        labels="eyes open or closed, eight minutes in turn, by triggers in the channel Status",
        loader="MNE-Python (BDF)",
        tested="miniature",
        licence="terms of the Texas Data Repository, CC0 by default",
        access="open",
        url="https://doi.org/10.18738/T8/EG0LJI",
        citation="Trujillo, Stanfield and Vela (2017), The effect of electroencephalogram (EEG) "
        "reference choice on information-theoretic measures of the complexity and integration of "
        "EEG signals, Frontiers in Neuroscience 11:425",
        layout="EEG-FM-Bench's trujillo_2017.py and public readers; not verified: the licence",
    ),
    DatasetSpec(
        name="siena",
        title="Siena Scalp EEG Database",
        files=re.compile(
            r"(?:^|/)(?:sub-)?(?P<subject>PN\d{2}|(?<=sub-)\d{2})"
            r"(?:-|_ses-(?P<session>\d{2})_task-szMonitoring_run-)(?P<run>\d[\d.]*)(?:_eeg)?\.edf$"
        ),
        example="siena-scalp-eeg-database-1.0.0/PN00/PN00-1.edf",
        read=siena.read,
        companions=siena.companions,
        line_freq=50.0,  # Siena
        sfreqs=(512.0, 256.0),
        rate="512 Hz (256 Hz is let through for resampled copies)",
        hours=30.47,
        n_subjects=14,
        montage="29 of the 10-20 system and between, 19 in the BIDS version",
        labels="seizures, in the BIDS version",
        loader="MNE-Python (EDF)",
        tested="miniature",
        licence="CC BY 4.0",
        access="open",
        url="https://physionet.org/content/siena-scalp-eeg/1.0.0/",
        citation="Detti, Vatti and Zabalo Manrique de Lara (2020), EEG synchronization analysis "
        "for seizure prediction: a study on data of noninvasive recordings, Processes 8(7):846",
        layout="headers of all files as audited in public, EEG-FM-Bench's siena_scalp.py, and "
        "epilepsy2bids, which made the BIDS version; the 41 files last 141 h",
    ),
    DatasetSpec(
        name="spis",
        title="SPIS Resting-State Dataset",
        files=re.compile(r"(?:^|/)(?P<subject>S\d{2})_restingPre_(?P<run>E[CO])\.mat$"),
        example="Pre-SART EEG/S02_restingPre_EC.mat",
        read=spis.read,
        line_freq=50.0,  # Istanbul
        sfreqs=(256.0,),
        rate="256 Hz (recorded at 2048 Hz)",
        hours=0.83,
        n_subjects=10,
        montage="BioSemi's 64",
        reference="CMS",
        labels="eyes closed or open, by file",
        loader="SciPy",
        tested="miniature",
        licence="GPL-3.0",
        access="open",
        url="https://github.com/mastaneht/SPIS-Resting-State-Dataset",
        citation="Torkamani-Azar et al. (2020), Prediction of reaction time and vigilance "
        "variability from spatio-spectral features of resting-state EEG in a long sustained "
        "attention task, IEEE Journal of Biomedical and Health Informatics 24(9):2550-2558",
        layout="the data set's read-me and EEG-FM-Bench's spis_resting_state.py; not verified: the "
        "unit, which is found out from the size of the signals",
    ),
    DatasetSpec(
        name="bi2015a",
        title="Target Versus Non-Target (Brain Invaders 2015a)",
        files=re.compile(
            r"(?:^|/)subject_(?P<subject>\d{2})_"
            r"(?P<session>session_\d{2}|[a-z]+_(?:before|after))\.mat$"
        ),
        example="subject_01/subject_01_session_01.mat",
        read=brain_invaders.read,
        line_freq=50.0,  # Grenoble
        sfreqs=(512.0,),
        hours=16.0,
        n_subjects=43,
        montage="32 of the 10-10 system",
        reference="right earlobe",
        labels="flashes with the target or without",
        loader="SciPy, as in MOABB's BI2015a",
        tested="miniature",
        licence="CC BY 4.0",
        access="open",
        url="https://doi.org/10.5281/zenodo.3266930",
        citation="Korczowski et al. (2019), Brain Invaders calibration-less P300-based BCI with "
        "modulation of flash duration dataset (bi2015a), GIPSA-lab, hal-02172347",
        layout="MOABB's BI2015a and the authors' py.BI.EEG.2015a-GIPSA; not verified: the files of "
        "rest before and after the games",
    ),
    DatasetSpec(
        name="tueg",
        title="TUH EEG Corpus (TUEG)",
        # v2 has names in letters, some with the old number of the subject before, v1 in digits.
        files=re.compile(
            r"(?:^|/)(?:\d{8}_)?(?P<subject>[a-z]{8}|\d{8})_(?P<session>s\d{3})_"
            r"(?P<run>t\d{3})\.edf$"
        ),
        example="edf/000/aaaaaaaa/s001_2015/01_tcp_ar/aaaaaaaa_s001_t000.edf",
        read=tuh.read,
        line_freq=60.0,  # Philadelphia
        rate="250 Hz mostly, up to 1024 Hz",
        patterns_alone=True,
        hours=24000.0,
        n_subjects=14987,
        montage="clinical, 17 to 23 of the 10-20 system, some with more",
        reference="average (AR) or linked ears (LE), by folder",
        loader="MNE-Python (EDF)",
        tested="miniature",
        licence="TUH EEG terms of use, no redistribution",
        access="free of charge after registration",
        url="https://isip.piconepress.com/projects/nedc/html/tuh_eeg/",
        citation="Obeid and Picone (2016), The Temple University Hospital EEG Data Corpus, "
        "Frontiers in Neuroscience 10:196",
        layout="AAREADME.txt of TUAB v2.0.0 (v1 of the names), readers of EEG-FM-Bench and of "
        "neuralfetch (v2.0.1), Braindecode (TUH, v1.1.0 to v2.0.0)",
    ),
)
