"""
Load released weights
=====================

The authors have released NeuroLM-B, -L and -XL as ``.pt`` files. This page takes such files to a
model that both estimators load, and checks that nothing was lost on the way. **No released weight
is used here**: this page is made without a network, so it writes files of the same layout, with
next to nothing learnt in them. For anyone who has, or wants, the released files.
"""
# Licence: BSD-3-Clause

# %%
# With a network
# --------------
# ``NeuroLMTokenizer("neurolm-b")`` should be all that is needed: it downloads the weights from the
# authors' repository on the Hugging Face hub, and converts them on first use. We could not try
# this, see :doc:`/models`. By hand, three things are needed: the language model
# (``NeuroLM-B.pt``), the neural tokenizer (``VQ.pt``), and GPT-2's ``vocab.json`` and
# ``merges.txt``.
#
# Files of that layout
# --------------------
# If you have the files, you need none of this section. A small network takes the place of
# NeuroLM-B. Its weights are random but for one pass over eight epochs, which gives the codebook
# its first codes, and are written under the names that the authors' code gives them.

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import torch
from tokenizers.pre_tokenizers import ByteLevel

from mne_neurolm import (
    NeuroLM,
    NeuroLMClassifier,
    NeuroLMConfig,
    NeuroLMTokenizer,
    convert_checkpoint,
)
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.models.revision import model_revision

mne.set_log_level("warning")
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)

sizes = {"n_layer": 2, "n_head": 4, "n_embd": 64}
config = NeuroLMConfig.preset(
    "b",
    **sizes,
    **{f"decoder_{name}": size for name, size in sizes.items()},
    text_config=NeuroLMConfig.preset("b").text_config.to_dict() | sizes,
)
epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=8, random_state=0)
original = NeuroLMTokenizer(config, max_epochs=1, random_state=0).fit(epochs).model_

names = {  # ours and theirs; the first that fits counts
    "VQ.pt": {
        "vq.encoder.patch_embed.linear.": "VQ.encoder.patch_embed.l.0.",
        "vq.to_code.": "VQ.encode_task_layer.",
        "vq.head_": "VQ.decode_task_layer_",
        "vq.codebook.weight": "VQ.quantize.embedding.weight",
        "vq.codebook.initialized": "VQ.quantize.embedding.initted",
        "vq.codebook.cluster_size": "VQ.quantize.cluster_size",
        "vq.domain_classifier.": "domain_classifier.",
        "vq.": "VQ.",
    },
    "NeuroLM-B.pt": {
        "backbone.": "GPT2.transformer.",
        "lm_head.": "GPT2.lm_head.",
        "channel_embed.": "pos_embed.",
        "vq.encoder.patch_embed.linear.": "tokenizer.patch_embed.l.0.",
        "vq.encoder.": "tokenizer.",
    },
}
stated = {
    "VQ.pt": {"encoder_args": sizes, "decoder_args": sizes},
    "NeuroLM-B.pt": {"model_args": sizes | {"block_size": 1024}},
}
for file, pairs in names.items():
    state = {}
    for key, tensor in original.state_dict().items():
        ours = next((name for name in pairs if key.startswith(name)), None)
        if ours is not None:
            linear = key.startswith("backbone.h.") and tensor.dim() == 2
            state[key.replace(ours, pairs[ours])] = tensor.T.contiguous() if linear else tensor
    torch.save({"model": state, **stated[file]}, folder / file)

# %%
# Nor are GPT-2's words part of the package: here are 256 single bytes, and empty places for the
# rest.

(folder / "gpt2").mkdir()
words = sorted(ByteLevel.alphabet())
words += [f"unused{k}" for k in range(50256 - len(words))] + ["<|endoftext|>"]
vocabulary = json.dumps({word: k for k, word in enumerate(words)})
for file, content in {"vocab.json": vocabulary, "merges.txt": "#version: 0.2\n"}.items():
    (folder / "gpt2" / file).write_text(content, encoding="utf-8")

# %%
# Convert
# -------
# In a shell it is ``mne-neurolm convert NeuroLM-B.pt --tokenizer VQ.pt --text-tokenizer gpt2
# --output neurolm-b``. Nothing in the files is executed, and what is missing, unknown or of
# another shape is named.

model = convert_checkpoint(
    folder / "NeuroLM-B.pt", folder / "VQ.pt", folder / "neurolm-b", text_tokenizer=folder / "gpt2"
)
print(sorted(path.name for path in model.iterdir()))

# %%
# The folder is a value for ``model=``. :func:`~mne_neurolm.models.revision.model_revision` tells
# its weights from others, without loading them.

print(model_revision(model))
y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"}).to_numpy()
tokens = NeuroLMTokenizer(model).fit_transform(epochs)
answers = NeuroLMClassifier("workload", model, tune=None).fit(epochs, y).predict_proba(epochs)

# %%
# Compare
# -------
# The network that the files were made of is still here, so we can see whether the converted one
# computes the same: hidden states, codes, and the probabilities of answers. (The test suite
# compares with values that the authors' code has computed.) The answers themselves mean nothing.
# Those of the released files would be guesses as well, as long as they are not tuned
# (:doc:`/models`).

original.text_tokenizer = NeuroLM.from_pretrained(model).text_tokenizer
expected = NeuroLMTokenizer(original).fit_transform(epochs)
same = NeuroLMClassifier("workload", original, tune=None).fit(epochs, y).predict_proba(epochs)
print("largest difference of hidden states:", np.abs(tokens.hidden - expected.hidden).max())
print("codes that differ:", int((tokens.codes != expected.codes).sum()))
print("largest difference of probabilities:", np.abs(answers - same).max())
temporary.cleanup()

# %%
# Which size?
# -----------
# The three share one neural tokenizer and differ in the language model. Grey is the rest: above all
# the decoders, which only the training of the tokenizer needs, and the codebook. The paper does not
# count it: it has 254 million for B. In float32 a million parameters take 4 MB; tuning them takes
# five times as much before it has read any EEG (:doc:`/models`). ``"tiny"`` is hardly to be seen.

counts = {}
titles = {"tiny": "tiny (bundled)", "b": "NeuroLM-B", "l": "NeuroLM-L", "xl": "NeuroLM-XL"}
for name, title in titles.items():
    with torch.device("meta"):  # shapes without memory
        network = NeuroLM(NeuroLMConfig.preset(name))
    parts = network.vq.encoder, network.backbone, network.lm_head, network
    counts[title] = [sum(weight.numel() for weight in part.parameters()) / 1e6 for part in parts]
table = pd.DataFrame(counts, ["encoder of EEG", "language model", "output layer", "all"]).T
totals = table.pop("all")
table["decoders and the rest"] = totals - table.sum(axis=1)

fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
table.plot.barh(stacked=True, ax=ax, color=["#0072B2", "#D55E00", "#E69F00", "#BBBBBB"])
for row, total in enumerate(totals):
    ax.text(total + 15, row, f"{total:,.0f} million, {0.004 * total:.2f} GB", va="center")
ax.set(xlabel="Parameters (millions)", xlim=(0, 1.35 * totals.max()))
ax.legend(frameon=False, loc="lower right")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
