"""The electrode positions that the datasets of this folder share."""

from __future__ import annotations

import mne

#: The 19 electrodes of the international 10-20 system under their old names: T3/T4/T5/T6 are what
#: clinical systems still write, and NeuroLM's vocabulary has rows of their own for them.
STANDARD_1020: tuple[str, ...] = tuple(
    "Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2".split()
)


def template_montage() -> mne.channels.DigMontage:
    """Return MNE's 10-05 montage on the Colin27 head, old names of the 10-20 system included."""
    # It was renamed in MNE 1.13: the old name warns there, the new one is unknown before.
    names = mne.channels.get_builtin_montages()
    return mne.channels.make_standard_montage(
        "colin27_1005" if "colin27_1005" in names else "standard_1005"
    )
