"""Where channels are, for maps of the scalp."""

from __future__ import annotations

from collections.abc import Sequence

import mne
import numpy as np


def positions(info: mne.Info | None, ch_names: Sequence[str]) -> mne.Info | None:
    """Return an Info of just these channels in this order, None if one has no position."""
    if info is None or not set(ch_names) <= set(info["ch_names"]):
        return None
    own = mne.pick_info(info, [info["ch_names"].index(name) for name in ch_names])
    places = np.array([ch["loc"][:3] for ch in own["chs"]])
    known = np.isfinite(places).all(axis=1) & places.any(axis=1)
    return own if known.all() else None
