"""Kill runs at random moments and compare what they log in the end with uninterrupted runs.

    python tests/slow/kill_and_resume.py [--kills 5] [--steps 200] [--processes 1] [--folder DIR]

For each stage: one run without interruption, then one that is killed (SIGKILL, all its processes)
at random steps, some while a checkpoint is being written, and resumed each time. On one process
every number in ``metrics.jsonl`` must be the same, float for float; with ``--processes 2`` the last
part runs on one process, and losses must agree within 1e-4. The exit status is 1 if they do not.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from launching import finish, kill_when, largest_difference, n_logged, numbers, start, write_store

from mne_neurolm.prepare_text import main as prepare_text

BEFORE = {"autoregressive": "tokenizer", "instruct": "autoregressive"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--stages", nargs="+", default=["tokenizer", "autoregressive", "instruct"])
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the kills")
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="kill_and_resume"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 500)
    prepare_text([str(folder / "text.txt"), "--output", str(folder / "text")])
    write_store(folder / "store", subjects=(0, 1, 2, 3, 27))
    rng = random.Random(arguments.seed)
    failed = False
    for stage in arguments.stages:
        failed |= not _try_stage(stage, folder, arguments, rng)
    return int(failed)


def _try_stage(stage: str, folder: Path, arguments: argparse.Namespace, rng: random.Random) -> bool:
    def flags(run: Path) -> list[str]:
        listed = ["--store", folder / "store", "--text", folder / "text", "--output", run]
        listed += ["--max-steps", arguments.steps, "--batch-size", 5, "--text-length", 33]
        listed += ["--data.max-tokens", 80, "--checkpoint.every-steps", 7, "--no-progress"]
        if stage in BEFORE:
            listed += ["--init", folder / f"{BEFORE[stage]}-whole"]
        if stage == "instruct":
            listed += ["--tasks", "workload"]
        return list(map(str, listed))

    whole, killed = folder / f"{stage}-whole", folder / f"{stage}-killed"
    began = time.monotonic()
    finish(start(stage, flags(whole), processes=arguments.processes))
    moments: list[str] = []
    while len(moments) < arguments.kills:
        done = n_logged(killed)
        resume = ["--resume"] if (killed / "config.yaml").exists() else []
        left = arguments.steps - done
        at = done + rng.randint(1, max(1, 2 * left // (arguments.kills - len(moments) + 1)))
        at = min(at, arguments.steps - 1)
        while_saving = bool(rng.getrandbits(1))

        def condition(at: int = at, while_saving: bool = while_saving) -> bool:
            if n_logged(killed) < at:
                return False
            return not while_saving or bool(list(killed.glob("checkpoints/*.unfinished")))

        process = start(stage, [*flags(killed), *resume], processes=arguments.processes)
        if not kill_when(process, condition):
            moments.append("ended before")
            break
        moments.append(f"{n_logged(killed)}{' while saving' if while_saving else ''}")
    finish(start(stage, [*flags(killed), "--resume"]))
    one, other = numbers(whole), numbers(killed)
    difference = largest_difference(one, other, ["loss"])
    good = one == other if arguments.processes == 1 else difference < 1e-4
    sys.stdout.write(
        f"{stage}: killed at steps {', '.join(moments)} of {arguments.steps}; "
        f"{'the same' if good else 'NOT the same'}, largest relative difference of the loss "
        f"{difference:.1e} ({time.monotonic() - began:.0f} s)\n"
    )
    sys.stdout.flush()
    return good


if __name__ == "__main__":
    sys.exit(main())
