"""Channel vocabulary of NeuroLM, and how a recording's channels find their rows in it.

The network knows an electrode by its row in a table of 139 names. Recordings rarely spell names
that way, so this module cleans names, uses electrode positions where a name says nothing, and
keeps everything that is not scalp EEG out. T3, T4, T5 and T6 have rows of their own in the
released table and are never treated as T7, T8, P7 and P8.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mne
import numpy as np
from mne.utils import logger, warn
from numpy.typing import NDArray

#: The 139 rows of the released channel embedding, in its order; ``"pad"`` is no electrode.
CHANNELS: tuple[str, ...] = tuple(
    """
    FP1 FPZ FP2
    AF9 AF7 AF5 AF3 AF1 AFZ AF2 AF4 AF6 AF8 AF10
    F9 F7 F5 F3 F1 FZ F2 F4 F6 F8 F10
    FT9 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 FT10
    T9 T7 C5 C3 C1 CZ C2 C4 C6 T8 T10
    TP9 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 TP10
    P9 P7 P5 P3 P1 PZ P2 P4 P6 P8 P10
    PO9 PO7 PO5 PO3 PO1 POZ PO2 PO4 PO6 PO8 PO10
    O1 OZ O2 O9 CB1 CB2 IZ O10
    T3 T5 T4 T6 M1 M2 A1 A2
    CFC1 CFC2 CFC3 CFC4 CFC5 CFC6 CFC7 CFC8
    CCP1 CCP2 CCP3 CCP4 CCP5 CCP6 CCP7 CCP8
    T1 T2 FTT9h TTP7h TPP9h FTT10h TPP8h TPP10h
    FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2
    FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2
    pad I1 I2
    """.split()
)
PAD_INDEX = CHANNELS.index("pad")  # row 136, the embedding of padding: no electrode

_ROWS = {name.upper(): row for row, name in enumerate(CHANNELS) if row != PAD_INDEX}

_EARS = ("A1", "A2", "M1", "M2")
_PREFIX = re.compile(r"^EEG[\s_:.\-]+", re.IGNORECASE)
_DUPLICATE = re.compile(r"^(.+)-\d+$")  # MNE numbers repeated labels
_REFERENCE = re.compile(
    r"^(.+?)[-_:/ ]+(REF|LE|AR|AVG|AVE|AV|CAR|LINKED[ _]?EARS?|A1[+/]?A2|M1[+/]?M2|[AM]12?|[AM]2)$",
    re.IGNORECASE,
)
_DASHES = str.maketrans({"\u2010": "-", "\u2011": "-", "\u2013": "-", "\u2212": "-"})

# Channels that readers type as EEG for want of better and that are not: full match, any case,
# after the prefix "EEG" and the reference suffix are gone.
_NOT_EEG = re.compile(
    "|".join(
        (
            r".*EOG.*|[HV]EO\w?|[LR]OC|LUC|RLC|[LR]EYE",  # eyes
            r".*(ECG|EKG).*|.*PULSE.*|HR|HEART.*|PLETH?\w*|S[PA]O2.*",  # heart
            r".*EMG.*|CHIN\d*",  # muscles
            r"RESP.*|.*FLOW|NASAL.*|THOR.*|ABD.*|CHEST|SNORE|TEMP.*",  # breathing
            r"STI ?\d*|STIM.*|TRIG.*|STATUS|EVENTS?|MARKERS?|(EDF |BDF )?ANNOTATIONS?",  # events
            r"PHOTIC.*|IBI|BURSTS|SUPPR",  # clinical auxiliary channels (TUH)
            r"EXG\d*|AUX.*|DC ?\d+.*|POL .*|X\d*|Y\d*|Z",  # free inputs
            r"ERGO.*|GSR\d*|EDA|ACC.*|GYRO.*|BATTERY|COUNTER",  # other sensors
            r"ND|REF|REREF|GND|GROUND",  # grounds and references
            r"(A|M)[12]-(A|M)[12]",  # difference of two ears, as in EEGMAT
        )
    ),
    re.IGNORECASE,
)

# Amplifier and depth-electrode labels (BioSemi's A1...A32, SEEG shafts) reuse 10-20 names. A
# letter whose numbers go beyond these cannot be a 10-20 region in that recording.
_LAST_IN_10_20 = {"A": 2, "C": 6, "F": 12, "I": 2, "M": 2, "O": 12, "P": 12, "T": 12}

_MAX_DISTANCE = 0.03  # m; neighbours of the 10-10 system are 3 to 4 cm apart
_HEAD_RADII = (0.05, 0.15)  # m; positions outside are not those of a head
_MIN_POSITIONS_FOR_FIT = 16  # fewer do not determine the centre of the head
_BIPOLAR_COIL = 5  # FIFFV_COIL_EEG_BIPOLAR: the position is that of one of two electrodes
_MAX_NAMES_SHOWN = 20


@dataclass(frozen=True, eq=False)
class ChannelMatch:
    """Channels of a recording that the network can use.

    Attributes
    ----------
    picks : ndarray of int64, shape (n_chans,)
        Indices of the channels in the recording, ascending.
    indices : ndarray of int64, shape (n_chans,)
        Their rows in :data:`~mne_neurolm.channels.CHANNELS`, all different.
    ch_names : tuple of str
        Their names in the recording.

    See Also
    --------
    mne_neurolm.channels.match_channels : Finds them.

    Examples
    --------
    >>> import mne
    >>> from mne_neurolm.channels import CHANNELS, match_channels
    >>> info = mne.create_info(["VEOG", "Cz", "EEG Fp1-REF"], 200.0, ["eog", "eeg", "eeg"])
    >>> with mne.use_log_level("warning"):
    ...     match = match_channels(info)
    >>> match.picks.tolist(), match.ch_names
    ([1, 2], ('Cz', 'EEG Fp1-REF'))
    >>> [CHANNELS[row] for row in match.indices]
    ['CZ', 'FP1']
    """

    picks: NDArray[np.int64]
    indices: NDArray[np.int64]
    ch_names: tuple[str, ...]


def clean_channel_name(name: str) -> str:
    """Return the electrode that a channel name means, spelled as in the vocabulary.

    The prefix ``EEG``, the reference (``-REF``, ``-LE``, ``-AR``, ``-AVG``, an ear or mastoid as in
    ``C3-A2`` or ``O2-M1``), the filling dots of PhysioNet (``Fc5.``) and MNE's running number of
    repeated labels (``-0``) are removed; case is ignored. Bipolar derivations stay whole, and
    ``-Cz`` is not removed, because ``Fz-Cz`` is usually a derivation of its own.

    Parameters
    ----------
    name : str
        Channel name as in the recording.

    Returns
    -------
    name : str
        A name in :data:`~mne_neurolm.channels.CHANNELS`, or what is left of ``name`` when it is
        not in there.

    Examples
    --------
    >>> from mne_neurolm.channels import clean_channel_name
    >>> clean_channel_name("EEG Fp1-REF"), clean_channel_name("fp1.")
    ('FP1', 'FP1')
    """
    cleaned = re.sub(r"\s*-\s*", "-", name.translate(_DASHES)).strip("._ \t")
    cleaned = _PREFIX.sub("", cleaned).strip("._ \t")
    while cleaned.upper() not in _ROWS:
        shorter = _DUPLICATE.match(cleaned) or _REFERENCE.match(cleaned)
        if shorter is None or _is_ear_difference(cleaned):
            return cleaned
        cleaned = shorter.group(1).strip("._- \t")
    return CHANNELS[_ROWS[cleaned.upper()]]


def channel_index(name: str) -> int:
    """Return the row of a channel in the vocabulary.

    Parameters
    ----------
    name : str
        Channel name, cleaned by :func:`clean_channel_name`.

    Returns
    -------
    index : int
        Row in :data:`~mne_neurolm.channels.CHANNELS`, 0 to 138, never the row of ``'pad'``.

    Raises
    ------
    ValueError
        If the name is not in the vocabulary.

    Examples
    --------
    >>> from mne_neurolm.channels import CHANNELS, channel_index
    >>> CHANNELS[channel_index("EEG Cz-LE")]
    'CZ'
    """
    cleaned = clean_channel_name(name)
    row = _ROWS.get(cleaned.upper())
    if row is None:
        near = difflib.get_close_matches(cleaned.upper(), list(_ROWS), n=4)
        hint = f" Similar names are {', '.join(CHANNELS[_ROWS[n]] for n in near)}." if near else ""
        raise ValueError(
            f"Channel {name!r} is not in NeuroLM's vocabulary of {len(_ROWS)} electrodes and "
            f"bipolar derivations.{hint} Rename it to one of mne_neurolm.channels.CHANNELS."
        )
    return row


def match_channels(info: mne.Info, *, on_missing: str = "raise") -> ChannelMatch:
    """Find the vocabulary rows of a recording's EEG channels.

    Only channels of type EEG take part. Those of other types, bad channels, channels whose name
    says that they are not scalp EEG (EOG, ECG, stimulus, respiration, ...) and repeated electrodes
    are dropped with a log line (at MNE's level INFO).

    A channel whose name is unknown takes the nearest vocabulary electrode within 3 cm when ``info``
    has positions: directions from the centre of the head are compared with those of the 10-10
    electrodes of an EasyCap, so the size of the head does not matter. Every row is used at most
    once; a name goes before a position, and the closer of two channels before the other.

    Parameters
    ----------
    info : mne.Info
        Measurement info of the recording.
    on_missing : "raise" | "warn" | "ignore"
        What to do about EEG channels with neither a known name nor a usable position. With
        ``"warn"`` and ``"ignore"`` they are dropped.

    Returns
    -------
    match : ChannelMatch
        Picks, vocabulary rows and names of the channels to use, in the order of the recording.

    Raises
    ------
    ValueError
        If there are unknown channels and ``on_missing="raise"``, or if no EEG channel is left.

    Examples
    --------
    >>> import mne
    >>> from mne_neurolm.channels import match_channels
    >>> info = mne.create_info(["EEG Fz-REF", "EEG Cz-REF", "ECG"], 200.0, ["eeg", "eeg", "ecg"])
    >>> with mne.use_log_level("info"):
    ...     print(match_channels(info).ch_names)
    Using 2 of 3 channels; not EEG: ECG (ecg).
    ('EEG Fz-REF', 'EEG Cz-REF')
    """
    if on_missing not in ("raise", "warn", "ignore"):
        raise ValueError(f"on_missing must be 'raise', 'warn' or 'ignore', got {on_missing!r}.")
    names = info["ch_names"]
    eeg = mne.pick_types(info, meg=False, eeg=True, exclude=[])
    if len(eeg) == 0:
        types = ", ".join(sorted(set(info.get_channel_types()))) or "none"
        raise ValueError(
            f"There are no EEG channels: the {len(names)} channels have the types {types}. If some "
            "are scalp EEG, say so with set_channel_types({name: 'eeg'})."
        )
    bads = [names[p] for p in eeg if names[p] in info["bads"]]
    good = [int(p) for p in eeg if names[p] not in info["bads"]]
    not_eeg = [names[p] for p in good if _NOT_EEG.fullmatch(clean_channel_name(names[p]))]
    candidates = [p for p in good if names[p] not in not_eeg]
    _log_dropped("marked as bad", bads)
    _log_dropped("not scalp EEG by their names", not_eeg)

    rows, unknown, repeated, note = _match_names(names, candidates)
    _log_dropped("of electrodes that are already there", repeated)
    if unknown:
        near, taken, why_not = _match_positions(info, unknown, used=set(rows.values()))
        if near:
            read_as = [f"{names[pick]} as {CHANNELS[row]}" for pick, row in sorted(near.items())]
            logger.info(f"Reading channels as their nearest electrodes: {', '.join(read_as)}.")
        _log_dropped("whose nearest electrode is already taken", [names[p] for p in taken])
        rows.update(near)
        missing = [names[p] for p in unknown if p not in near and p not in taken]
        if missing:
            _report_missing(missing, note + why_not, on_missing)
    if not rows:
        raise ValueError(
            f"No usable EEG channel is left of {len(eeg)}: {len(bads)} are marked as bad "
            f"({_listed(bads)}), {len(not_eeg)} are not scalp EEG by their names "
            f"({_listed(not_eeg)}), {len(unknown)} are unknown "
            f"({_listed([names[p] for p in unknown])}). Give scalp channels their "
            "10-20 names with rename_channels, or positions with set_montage."
        )
    picks = sorted(rows)
    _log_other_types(info, len(picks))
    return ChannelMatch(
        picks=np.array(picks, dtype=np.int64),
        indices=np.array([rows[p] for p in picks], dtype=np.int64),
        ch_names=tuple(names[p] for p in picks),
    )


def _is_ear_difference(cleaned: str) -> bool:
    head, _, tail = cleaned.upper().partition("-")
    return head in _EARS and tail in _EARS


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES_SHOWN]) or "none"
    more = len(names) - _MAX_NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _log_dropped(why: str, names: Sequence[str]) -> None:
    if names:
        logger.info(f"Dropping {len(names)} channel(s) {why}: {_listed(names)}.")


def _log_other_types(info: mne.Info, n_used: int) -> None:
    by_type: dict[str, list[str]] = {}
    for name, kind in zip(info["ch_names"], info.get_channel_types(), strict=True):
        by_type.setdefault(kind, []).append(name)
    by_type.pop("eeg")
    if by_type:
        others = ", ".join(f"{_listed(names)} ({kind})" for kind, names in by_type.items())
        logger.info(f"Using {n_used} of {len(info['ch_names'])} channels; not EEG: {others}.")


def _match_names(
    names: Sequence[str], picks: Sequence[int]
) -> tuple[dict[int, int], list[int], list[str], str]:
    """Split picks into {pick: row} by name, unknown picks, names of repeated ones, and a note."""
    cleaned = {p: clean_channel_name(names[p]) for p in picks}
    series = set()
    for name in cleaned.values():
        label = re.fullmatch(r"([A-Z])(\d+)", name.upper())
        if label and int(label[2]) > _LAST_IN_10_20.get(label[1], np.inf):
            series.add(label[1])
    rows: dict[int, int] = {}
    unknown: list[int] = []
    repeated: list[str] = []
    for p in picks:
        row = _ROWS.get(cleaned[p].upper())
        in_series = cleaned[p][:1].upper() in series and cleaned[p][1:].isdigit()
        if row is None or in_series:
            unknown.append(p)
        elif row in rows.values():
            repeated.append(names[p])
        else:
            rows[p] = row
    note = ""
    if series:
        note = (
            f" Names such as {min(series)}1 are not read as 10-20 electrodes here, because their "
            "numbers go on beyond the 10-20 system: these are labels of the amplifier or cap."
        )
    return rows, unknown, repeated, note


@lru_cache(maxsize=1)
def _template() -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], float]:
    """Return rows, unit directions (n, 3), centre (3,) and radius in m of the template."""
    # The 74 electrodes of an EasyCap are the whole 10-10 system, are the same in every MNE, and lie
    # on average within 0.5 cm of BioSemi's, Brain Products' and FsAverage's electrodes of the same
    # name, and within 1.1 cm of the Colin27 head's.
    montage = mne.channels.make_standard_montage("easycap-M1")
    info = mne.create_info(montage.ch_names, 100.0, "eeg")
    info.set_montage(montage)
    found: dict[int, NDArray[np.float64]] = {}
    for ch in info["chs"]:
        row = _ROWS.get(ch["ch_name"].upper())
        if row is not None:
            found[row] = ch["loc"][:3]
    rows = np.array(sorted(found), dtype=np.int64)
    positions = np.array([found[row] for row in rows])
    centre, radius = _fit_sphere(positions)
    return rows, _directions(positions, centre), centre, radius


def _fit_sphere(positions: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return centre (3,) and radius of the sphere nearest to positions (n, 3)."""
    design = np.c_[2 * positions, np.ones(len(positions))]
    weights = np.ones(len(positions))
    centre, radius = np.zeros(3), 0.0
    for _ in range(10):  # absolute rather than squared deviations: one face electrode must not pull
        root = np.sqrt(weights)
        target = root * (positions**2).sum(axis=1)
        solution = np.linalg.lstsq(root[:, None] * design, target, rcond=None)[0]
        centre = solution[:3]
        radius = float(np.sqrt(max(solution[3] + centre @ centre, 0.0)))
        deviation = np.abs(np.linalg.norm(positions - centre, axis=1) - radius)
        weights = 1.0 / np.maximum(deviation, 0.01 * radius + np.finfo(float).tiny)
        weights /= weights.max()
    return centre, radius


def _directions(positions: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    from_centre = positions - centre
    length = np.linalg.norm(from_centre, axis=1, keepdims=True)
    return from_centre / np.maximum(length, np.finfo(float).tiny)


def _position(ch: dict[str, Any]) -> NDArray[np.float64] | None:
    loc = np.asarray(ch["loc"][:3], dtype=float)
    usable = np.isfinite(loc).all() and loc.any() and int(ch["coil_type"]) != _BIPOLAR_COIL
    return loc if usable else None


def _match_positions(
    info: mne.Info, unknown: Sequence[int], used: set[int]
) -> tuple[dict[int, int], list[int], str]:
    """Give unknown channels the nearest electrode: {pick: row}, picks that came late, a note."""
    located = {p: _position(info["chs"][p]) for p in mne.pick_types(info, eeg=True, exclude=[])}
    everyone = np.array([loc for loc in located.values() if loc is not None])
    own = [
        p
        for p in unknown
        if located[p] is not None and "-" not in clean_channel_name(info["ch_names"][p])
    ]
    if not own:
        return {}, [], ""
    rows, template, centre, radius = _template()
    if len(everyone) >= _MIN_POSITIONS_FOR_FIT:
        # files often put the origin at the centre of the head instead of between the ears
        centre, size = _fit_sphere(everyone)
    else:
        size = float(np.median(np.linalg.norm(everyone - centre, axis=1)))
    if not _HEAD_RADII[0] <= size <= _HEAD_RADII[1]:
        note = (
            f" The positions in info are not used: they lie on a sphere of {size:.3g} m radius, "
            "which is not a head."
        )
        return {}, [], note
    positions = np.array([located[p] for p in own])
    cosine = np.clip(_directions(positions, centre) @ template.T, -1.0, 1.0)
    distance = np.arccos(cosine) * radius  # m along the template's scalp
    near: dict[int, int] = {}
    taken: list[int] = []
    taken_rows = set(used)
    for i in np.argsort(distance.min(axis=1), kind="stable"):
        if distance[i].min() > _MAX_DISTANCE:
            continue
        row = int(rows[distance[i].argmin()])
        if row in taken_rows:
            taken.append(own[i])
        else:
            near[own[i]] = row
            taken_rows.add(row)
    return near, sorted(taken), ""


def _report_missing(missing: Sequence[str], note: str, on_missing: str) -> None:
    message = (
        f"{len(missing)} EEG channel(s) have neither a name in NeuroLM's vocabulary nor a position "
        f"within {100 * _MAX_DISTANCE:g} cm of one of its electrodes: {_listed(missing)}.{note}"
    )
    if on_missing == "raise":
        raise ValueError(
            f"{message} Give them 10-20 names with rename_channels, or positions with set_montage, "
            "remove them with drop_channels, retype them with set_channel_types if they are not "
            "scalp EEG, or pass on_missing='ignore' to leave them out."
        )
    if on_missing == "warn":
        warn(f"{message} They are left out.")
    else:
        logger.info(f"{message} They are left out.")
