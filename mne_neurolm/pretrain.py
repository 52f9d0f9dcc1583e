"""Train NeuroLM from a store of recordings: ``python -m mne_neurolm.pretrain``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from mne.utils import use_log_level

from .utils.optional import import_optional

_STAGES = ("tokenizer", "masked", "autoregressive", "instruct")
_DESCRIPTION = """\
Train one of the stages of NeuroLM from a store of recordings, on one process or many:

  python -m mne_neurolm.pretrain tokenizer --store STORE --text TEXT --preset tiny --output RUN1
  python -m mne_neurolm.pretrain autoregressive --store STORE --text TEXT --output RUN2 --init RUN1
  python -m mne_neurolm.pretrain instruct --store STORE --text TEXT --output RUN3 --init RUN2 \\
      --tasks workload
  python -m mne_neurolm.pretrain masked --store STORE --output RUN4 --init RUN1  (as LaBraM)
  torchrun --standalone --nproc-per-node 8 -m mne_neurolm.pretrain tokenizer ...

<stage> --help lists all settings with the defaults of the stage and preset.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str | None
        Arguments; None takes those of the process.

    Returns
    -------
    code : int
        0 if the run is finished, or was asked to stop and is saved; 1 if it could not go on (the
        reason is on standard error), 2 if the arguments are wrong.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="python -m mne_neurolm.pretrain",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", choices=_STAGES)
    parser.add_argument("options", nargs=argparse.REMAINDER, help="see <stage> --help")
    stage = parser.parse_args(arguments[:1]).stage

    rank = int(os.environ.get("RANK", "0"))
    with use_log_level("INFO") if rank == 0 else nullcontext():
        try:
            for name in ("accelerate", "pyarrow", "tyro"):
                import_optional(name, extra="train", purpose="Pretraining")
            from .training.arguments import parse
            from .training.pretraining import pretrain

            return pretrain(parse(stage, arguments[1:]))
        except (ValueError, OSError, FloatingPointError, ImportError) as error:
            where = f" (process {rank})" if "RANK" in os.environ else ""
            sys.stderr.write(f"error{where}: {error}\n")
            return 1


if __name__ == "__main__":
    sys.exit(main())
