"""Run several commands one after another in one of the processes of a group.

    RANK=0 WORLD_SIZE=2 ... several.py '[[port, ["tokenizer", "--store", ...]], ...]'

Starting Python and importing torch takes longer than the runs. Beside each run every process leaves
its codebook, and the types of the parameters that it held.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.state import AcceleratorState

from mne_neurolm.pretrain import main
from mne_neurolm.training import pretraining

publish_model = pretraining.publish_model


def publish(stage: Any, parallel: Any, folder: Path, card: dict) -> None:
    np.save(folder.parent / f"codebook-{parallel.rank}.npy", stage.model.vq.codebook.weight.cpu())
    kinds = sorted({type(p).__name__ for p in stage.parameters()})
    (folder.parent / f"parameters-{parallel.rank}.json").write_text(json.dumps(kinds))
    publish_model(stage, parallel, folder, card)


if __name__ == "__main__":
    pretraining.publish_model = publish
    for port, arguments in json.loads(sys.argv[1]):
        os.environ["MASTER_PORT"] = str(port)  # a group cannot be made twice on one
        status = main(arguments)
        if status:
            sys.exit(status)
        AcceleratorState._reset_state(reset_partial_state=True)
