"""
Answers while the EEG comes in
==============================

A tuned pipeline answers once a second about the last four seconds of a stream. With `mne-lsl
<https://mne.tools/mne-lsl>`_ the stream is a real one; without it, a loop over a recording hands
over the samples as a stream would. For those who build brain-computer interfaces or neurofeedback,
and for those who want to know how fast answers are and what can go wrong.
"""

# Licence: BSD-3-Clause

# %%
# A pipeline, tuned beforehand
# ----------------------------
# Forty people rest or are active, in epochs of 4 s. None of them is the one in the stream.

import time

import matplotlib.pyplot as plt
import mne
import numpy as np
from scipy.signal import butter, iirnotch, sosfilt, sosfilt_zi, tf2sos
from sklearn.pipeline import make_pipeline

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task, prepare_raw
from mne_neurolm.datasets import simulate_epochs

try:
    import mne_lsl
    from mne_lsl.lsl import local_clock
    from mne_lsl.player import PlayerLSL
    from mne_lsl.stream import StreamLSL
except ImportError:
    mne_lsl = None

mne.set_log_level("warning")
epochs = simulate_epochs(n_subjects=40, n_epochs_per_subject=6, random_state=0, effect=1.5)
task = Task("active", "Is this person active?", {"rest": "No", "active": "Yes"})
classifier = NeuroLMClassifier(
    task,
    tune="head",
    lr=3e-3,
    batch_size=16,
    max_epochs=8,
    average=0.9,
    patience=3,
    calibration="temperature",
    random_state=0,
)
pipe = make_pipeline(NeuroLMTokenizer(), classifier)
y, people = epochs.metadata["state"].to_numpy(dtype=str), epochs.metadata["subject"].to_numpy()
pipe.fit(epochs, y, neurolmclassifier__groups=people)

# %%
# What the amplifier sees
# -----------------------
# One more person, for a minute, who changes between rest and activity every ten seconds. As an
# amplifier would, this one has offsets of millivolts, 50 Hz from the power line, and a rate that is
# not the model's.

sfreq = 250
person = simulate_epochs(1, 2, duration=60, sfreq=sfreq, random_state=8, effect=1.5)
is_active = person.times // 10 % 2 == 1
change = np.hanning(sfreq) / np.hanning(sfreq).sum()  # takes a second
angle = np.pi / 2 * np.convolve(is_active, change, mode="same")
rest, active = (person[state].get_data()[0] for state in ("rest", "active"))
eeg = np.cos(angle) * rest + np.sin(angle) * active
eeg += np.random.default_rng(0).normal(0, 5e-3, (len(eeg), 1))
eeg += 20e-6 * np.sin(2 * np.pi * 50 * person.times)
raw = mne.io.RawArray(eeg, person.info)

# %%
# Two sources of windows
# ----------------------
# :func:`~mne_neurolm.prepare_raw` filters without a shift of phase, for which it needs samples that
# are still to come. A stream has none, so it gets a causal filter with the same edges, which keeps
# its state from one chunk to the next: the filter runs over the stream, and never over a window of
# 4 s, which is too short for 0.1 Hz. The tokenizer resamples each window by itself.
#
# ``from_lsl`` is how you would read an amplifier, without the player. It takes real time, so only
# part of the minute is played. ``from_recording`` does the same as fast as it can.


def from_lsl(raw, n_seconds=22):
    """Yield the second at which each window ends, and the window, from a stream."""
    mne_lsl.set_log_level("warning")
    with PlayerLSL(raw, chunk_size=25, name="plot_real_time"):
        start, n_samples = local_clock(), 0
        stream = StreamLSL(bufsize=4, name="plot_real_time").connect(acquisition_delay=None)
        stream.filter(0.1, 75).notch_filter(50)
        while n_samples < (n_seconds - 1) * sfreq:
            while stream.n_new_samples < sfreq:
                time.sleep(0.01)
                stream.acquire()
            n_samples += stream.n_new_samples
            window, times = stream.get_data()
            if n_samples >= window.shape[1]:
                yield times[-1] - start, window
        stream.disconnect()


def from_recording(raw):
    """Yield the same, chunk by chunk of a recording."""
    band = butter(4, (0.1, 75), "bandpass", fs=sfreq, output="sos")
    sos = np.vstack([band, tf2sos(*iirnotch(50, 30, fs=sfreq))])
    state, window = None, np.empty((len(raw.ch_names), 0))
    for start in range(0, raw.n_times, sfreq):
        chunk = raw.get_data(start=start, stop=start + sfreq)
        if state is None:  # as if the offset had always been there
            state = sosfilt_zi(sos)[:, np.newaxis] * chunk.mean(axis=1, keepdims=True)
        filtered, state = sosfilt(sos, chunk, zi=state)
        window = np.hstack([window, filtered])[:, -4 * sfreq :]
        if window.shape[1] == 4 * sfreq:
            yield start / sfreq + 1, window


# %%
# Ask once a second
# -----------------

column = pipe.classes_.tolist().index("active")
ends, proba, took, signal = [], [], [], []
for end, window in from_recording(raw) if mne_lsl is None else from_lsl(raw):
    asked = time.perf_counter()
    epoch = mne.EpochsArray(window[np.newaxis], raw.info)
    proba.append(pipe.predict_proba(epoch)[0, column])
    took.append(1000 * (time.perf_counter() - asked))
    ends.append(end)
    signal.append(window[raw.ch_names.index("O1"), -sfreq:])
print("a recording, chunk by chunk" if mne_lsl is None else "a stream in real time")
print(f"{len(took)} answers, {np.median(took):.0f} ms each, {max(took):.0f} ms at most")

# %%
# For comparison, the windows that :func:`~mne_neurolm.prepare_raw` makes afterwards, when all of
# the recording is there.

offline = mne.make_fixed_length_epochs(prepare_raw(raw, line_freq=50), duration=4, overlap=3)
offline_proba = pipe.predict_proba(offline.load_data())[:, column]
offline_ends = np.arange(len(offline_proba)) + 4

# %%
# Probability over time
# ---------------------
# The shaded seconds are those of activity. Above is the electrode O1 as it comes out of the
# causal filter: the alpha rhythm is smaller in activity. Below, the blue answer follows the state
# one to three seconds late, because a window that ends shortly after a change is mostly of the
# state before. An answer itself takes a small part of the second that there is.
#
# The grey line differs from the blue one in how the EEG was filtered: hardly in most windows, and
# much in those that are unclear. The model was tuned on EEG without the causal filter's shift of
# phase. With recordings of your own, filter those that you tune on as the stream will be.
#
# Simulated EEG proves nothing about real EEG, and this person was chosen for being easy to read: of
# nine who were tried, some were answered hardly better than by chance. Change ``random_state`` in
# the second block to meet them.

fig, (top, bottom) = plt.subplots(2, 1, figsize=(9, 4.5), layout="constrained", sharex=True)
seconds = np.concatenate([end - 1 + np.arange(sfreq) / sfreq for end in ends])
top.plot(seconds, 1e6 * np.concatenate(signal), color="0.3", lw=0.5)
top.set(ylabel="O1 (µV)", title="Four seconds are read, every second")
bottom.plot(offline_ends, offline_proba, color="0.6", lw=1.5, label="filtered afterwards")
bottom.plot(ends, proba, "o-", color="#0072B2", ms=4, label="as the EEG comes in")
bottom.axhline(0.5, color="0.6", ls=":")
bottom.set(xlabel="Time (s)", ylabel='Probability of "active"', ylim=(-0.05, 1.2))
bottom.set_xlim(ends[0] - 1, ends[-1] + 0.5)
for ax in (top, bottom):
    for start in (10, 30, 50):
        ax.axvspan(start, start + 10, color="#E69F00", alpha=0.25, lw=0, zorder=0)
bottom.legend(loc="upper left", ncols=2, frameon=False)
plt.show()
