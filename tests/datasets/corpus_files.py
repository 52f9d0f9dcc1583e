"""Write recordings and events as in the pretraining corpora that no laboratory software wrote.

Sources of the layouts are named in the docstrings of the readers in
``mne_neurolm/datasets/readers``. In every file channel k is a sine of 10 Hz and 10 + k microvolts,
so that a wrong unit, order or rate cannot pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np
from edfio import Bdf, BdfSignal, Edf, EdfSignal
from scipy.io import savemat

from mne_neurolm.channels import match_channels

SECONDS = 36  # a filter at 0.1 Hz is 33 s long

BCIC = (
    "AF3 AF4 F5 F3 F1 Fz F2 F4 F6 FC5 FC3 FC1 FCz FC2 FC4 FC6 CFC7 CFC5 CFC3 CFC1 CFC2 CFC4 CFC6 "
    "CFC8 T7 C5 C3 C1 Cz C2 C4 C6 T8 CCP7 CCP5 CCP3 CCP1 CCP2 CCP4 CCP6 CCP8 CP5 CP3 CP1 CPz CP2 "
    "CP4 CP6 P5 P3 P1 Pz P2 P4 P6 PO1 PO2 O1 O2"
).split()
GRASP_AND_LIFT = (
    "Fp1,Fp2,F7,F3,Fz,F4,F8,FC5,FC1,FC2,FC6,T7,C3,Cz,C4,T8,TP9,CP5,CP1,CP2,CP6,TP10,P7,P3,Pz,P4,"
    "P8,PO9,O1,Oz,O2,PO10"
).split(",")
INRIA = (  # P08 with a zero
    "Fp1,Fp2,AF7,AF3,AF4,AF8,F7,F5,F3,F1,Fz,F2,F4,F6,F8,FT7,FC5,FC3,FC1,FCz,FC2,FC4,FC6,FT8,T7,C5,"
    "C3,C1,Cz,C2,C4,C6,T8,TP7,CP5,CP3,CP1,CPz,CP2,CP4,CP6,TP8,P7,P5,P3,P1,Pz,P2,P4,P6,P8,PO7,POz,"
    "P08,O1,O2"
).split(",")
BIOSEMI = (
    "Fp1 AF7 AF3 F1 F3 F5 F7 FT7 FC5 FC3 FC1 C1 C3 C5 T7 TP7 CP5 CP3 CP1 P1 P3 P5 P7 P9 PO7 PO3 O1 "
    "Iz Oz POz Pz CPz Fpz Fp2 AF8 AF4 AFz Fz F2 F4 F6 F8 FT8 FC6 FC4 FC2 FCz Cz C2 C4 C6 T8 TP8 "
    "CP6 CP4 CP2 P2 P4 P6 P8 P10 PO8 PO4 O2"
).split()
TRUJILLO = [*BIOSEMI, "M1", "M2", "NAS", "LVEOG", "RVEOG", "LHEOG", "RHEOG", "NFpz"]
BRAIN_INVADERS = (
    "Fp1 Fp2 AFz F7 F3 F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 PO7 O1 "
    "Oz O2 PO8 PO9 PO10"
).split()
SIENA = (
    "Fp1 F3 C3 P3 O1 F7 T3 T5 Fc1 Fc5 Cp1 Cp5 F9 Fz Cz Pz Fp2 F4 C4 P4 O2 F8 T4 T6 Fc2 Fc6 Cp2 Cp6 "
    "F10"
).split()


def sines(n_chans: int, sfreq: float, seconds: float = SECONDS) -> np.ndarray:
    """Return what is in every file, in microvolts, shape (n_chans, n_times)."""
    t = np.arange(round(seconds * sfreq)) / sfreq
    return (10.0 + np.arange(n_chans))[:, None] * np.sin(2 * np.pi * 10.0 * t)


def amplitudes(raw: mne.io.BaseRaw) -> np.ndarray:
    """Return the amplitude of a recording's EEG channels in microvolts, from its middle."""
    data = raw.get_data("eeg")
    middle = data[:, data.shape[1] // 4 : -(data.shape[1] // 4)]
    return np.sqrt(2.0) * 1e6 * middle.std(axis=1)


def check_channels(raw: mne.io.BaseRaw, names: Sequence[str]) -> None:
    """Check that the EEG is just these electrodes, and that the network knows them all."""
    kinds = raw.get_channel_types()
    assert [n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg"] == list(names)
    match = match_channels(raw.info, on_missing="raise")
    assert list(match.ch_names) == [n for n in names if n not in raw.info["bads"]]


def save(path: Path, **variables: Any) -> Path:
    """Write a MATLAB file of version 7, compressed as MATLAB does it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables, do_compression=True)
    return path


def cells(names: Sequence[str]) -> np.ndarray:
    """Return a cell array of one row."""
    array = np.empty((1, len(names)), dtype=object)
    array[0] = names
    return array


def write_bcic(
    path: Path,
    *,
    sfreq: int = 1000,
    cues: Sequence[tuple[int, int]] | None = None,
    names: Sequence[str] = BCIC,
    classes: Sequence[str] = ("left", "foot"),
) -> Path:
    """Write a recording of BCI Competition IV-1; cues are samples from 1 and labels of -1 and 1."""
    nfo = {
        "fs": sfreq,
        "classes": cells(classes),
        "clab": cells(names),
        "xpos": np.zeros((len(names), 1)),
        "ypos": np.zeros((len(names), 1)),
    }
    cnt = np.rint(10.0 * sines(len(names), sfreq)).astype(np.int16).T
    variables: dict[str, Any] = {"cnt": cnt, "nfo": nfo}
    if cues is not None:
        pos, y = np.array(cues, dtype=float).reshape(-1, 2).T
        variables["mrk"] = {"pos": pos[None], "y": y[None]}
    return save(path, **variables)


def write_spis(path: Path, *, volts_per_unit: float = 1e-9, n_rows: int = 68) -> Path:
    """Write a recording of SPIS, with the large offsets of its amplifier."""
    data = sines(n_rows, 256.0) * 1e-6 / volts_per_unit
    data[:67] += 1e-3 / volts_per_unit * (np.arange(n_rows)[:67, None] - 30)
    data[67:] = 0.0
    data[67:, 0] = 220.0
    return save(path, dataRest=data)


def write_brain_invaders(path: Path, *, n_columns: int = 35) -> Path:
    """Write a session of bi2015a: a target after 1 s, and another flash after 2 s."""
    signals = sines(32, 512.0)
    table = np.zeros((signals.shape[1], n_columns))
    table[:, 0] = np.arange(len(table)) / 512.0
    table[:, 1:33] = signals.T
    table[512, n_columns - 1] = 2
    table[1024, n_columns - 2] = 1
    return save(path, DATA=table)


def write_lifts(folder: Path, *, seconds: float = SECONDS) -> Path:
    """Write participant 1 of WAY-EEG-GAL: series 1 and the test series, and the table of lifts."""

    def signals(n_chans: int, sfreq: float) -> dict[str, Any]:
        names = cells([f"S{k}" for k in range(n_chans)])
        data = np.zeros((round(seconds * sfreq), n_chans))
        return {"names": names, "sig": data, "samplingrate": sfreq}

    eeg = {
        "names": cells(GRASP_AND_LIFT),
        "sig": 10.0 * sines(32, 500.0, seconds).T,
        "samplingrate": 500,
    }
    about = {"name": "AB", "participant": 1}
    others = {"emg": signals(5, 4000.0), "kin": signals(36, 500.0), "misc": signals(6, 500.0)}
    save(folder / "HS_P1_S1.mat", hs=about | {"series": 1, "eeg": eeg} | others)
    save(folder / "HS_P1_ST.mat", hs=about | {"series": 3, "eeg": eeg})
    save(folder / "WS_P1_S1.mat", ws={"name": "AB", "win": {"eeg": np.zeros((10, 32))}})
    columns = (
        "Part Run Lift CurW StartTime LEDOn tFirstDigitTouch tBothStartLoadPhase tLiftOff tReplace "
        "tBothReleased tHandStart"
    ).split()
    lifts = [
        [1, 1, 1, 1, 0.5, 2, 3.0, 3.25, 3.5, 5.0, 5.5, 2.5],
        [1, 1, 2, 2, 10.0, 2, 3.0, 3.25, 3.5, np.nan, 5.5, 2.5],
        [1, 2, 1, 4, 0.25, 2, 3.0, 3.25, 3.5, 5.0, 5.5, 2.5],
    ]
    table = {"AllLifts": np.array(lifts, dtype=float), "ColNames": cells(columns)}
    return save(folder / "P1_AllLifts.mat", P=table).parent


def write_series(
    folder: Path, name: str, *, events: Mapping[str, Sequence[int]] | None = None
) -> Path:
    """Write a series of Grasp and Lift; events are samples, each in a frame of 75 on both sides."""
    path = folder / f"{name}_data.csv"
    folder.mkdir(parents=True, exist_ok=True)
    data = np.rint(10.0 * sines(32, 500.0)).astype(int).T
    ids = [f"{name}_{k}" for k in range(len(data))]
    _write_rows(path, ["id", *GRASP_AND_LIFT], ids, data, "%d")
    if events is not None:
        columns = (
            "HandStart FirstDigitTouch BothStartLoadPhase LiftOff Replace BothReleased".split()
        )
        frames = np.zeros((len(data), len(columns)), dtype=int)
        for column, samples in events.items():
            for sample in samples:
                frames[max(sample - 75, 0) : sample + 76, columns.index(column)] = 1
        _write_rows(folder / f"{name}_events.csv", ["id", *columns], ids, frames, "%d")
    return path


def write_session(
    path: Path,
    *,
    feedback: Sequence[int] = (),
    step: float = 0.005,
    eeg: Sequence[str] = INRIA,
) -> Path:
    """Write a session of the BCI Challenge, with feedback at samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.zeros((SECONDS * 200, len(eeg) + 2))
    data[:, : len(eeg)] = sines(len(eeg), 200.0).T
    data[:, -2] = 300.0
    data[list(feedback), -1] = 1
    times = [f"{step * k:.3f}" for k in range(len(data))]
    _write_rows(path, ["Time", *eeg, "EOG", "FeedBackEvent"], times, data, "%.10g")
    return path


def _write_rows(
    path: Path, header: Sequence[str], first: Sequence[str], data: np.ndarray, form: str
) -> None:
    body = (",".join(map(form.__mod__, row)) for row in data.tolist())
    rows = (f"{name},{rest}\n" for name, rest in zip(first, body, strict=True))
    path.write_text(",".join(header) + "\n" + "".join(rows))


def write_bdf(
    path: Path, names: Sequence[str], *, sfreq: float = 256.0, triggers: Sequence[int] = ()
) -> Path:
    """Write a recording of a BioSemi amplifier: channels, and ``Status`` with its high bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signals = [
        BdfSignal(
            signal,
            sfreq,
            label=name,
            transducer_type="Active Electrode, sintered Ag/AgCl",
            physical_dimension="uV",
            physical_range=(-262144, 262143),
        )
        for name, signal in zip(names, sines(len(names), sfreq), strict=True)
    ]
    status = np.full(round(SECONDS * sfreq), -6881280.0)  # bits 16 to 23: CMS within range, speed
    for sample in triggers:
        status[sample : sample + 4] += 101
    signals.append(
        BdfSignal(
            status,
            sfreq,
            label="Status",
            transducer_type="Triggers and Status",
            physical_dimension="Boolean",
            physical_range=(-8388608, 8388607),
        )
    )
    Bdf(signals, data_record_duration=1.0).write(path)
    return path


def write_edf(path: Path, labels: Sequence[str], *, sfreq: float = 512.0) -> Path:
    """Write an EDF file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signals = [
        EdfSignal(
            signal, sfreq, label=label, physical_dimension="uV", physical_range=(-3276.8, 3276.7)
        )
        for label, signal in zip(labels, sines(len(labels), sfreq), strict=True)
    ]
    Edf(signals, data_record_duration=1.0).write(path)
    return path
