"""Where channels are, for maps of the scalp."""

from __future__ import annotations

from collections.abc import Sequence

import mne
import numpy as np

#: Bars that take the place of a map, at most.
MOST_CHANNELS = 12


def what_bars_show(n_channels: int) -> str:
    """Return what bars of channels are called, of which there are at most twelve."""
    if n_channels <= MOST_CHANNELS:
        return "Channels"
    return f"The largest {MOST_CHANNELS} of {n_channels} channels"


def positions(info: mne.Info | None, ch_names: Sequence[str]) -> mne.Info | None:
    """Return an Info of just these channels in this order, or None if they make no map.

    A map needs two EEG electrodes or more, each at a place of its own.
    """
    if info is None or len(ch_names) < 2 or not set(ch_names) <= set(info["ch_names"]):
        return None
    own = mne.pick_info(info, [info["ch_names"].index(name) for name in ch_names])
    places = np.array([ch["loc"][:3] for ch in own["chs"]])
    known = np.isfinite(places).all() and places.any(axis=1).all()
    alone = len(np.unique(places.round(4), axis=0)) == len(places)  # bipolar ones share an anode
    is_eeg = set(own.get_channel_types()) == {"eeg"}
    return own if known and alone and is_eeg else None
