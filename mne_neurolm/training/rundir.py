"""The folder of a run: its configuration, its state, and who may write to it."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from ..store.lock import lock
from ..utils.replacing import replace_text

_PACKAGES = ("mne-neurolm", "torch", "transformers", "accelerate", "mne", "numpy")
_PATIENCE = 15.0  # seconds to wait for a lock


class RunDirectory:
    """Files of a run.

    Parameters
    ----------
    path : str | Path
        The folder.

    Attributes
    ----------
    config : Path
        ``config.yaml``, everything that was set.
    status : Path
        ``run.json``, how far the run is.
    metrics : Path
        ``metrics.jsonl``.
    checkpoints, model : Path
        Folders of the state to resume from and of the final weights.
    architecture : Path
        Folder with the model's configuration and text tokenizer, which a checkpoint lacks.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.config = self.path / "config.yaml"
        self.status = self.path / "run.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.architecture = self.path / "architecture"
        self._held = ExitStack()

    def create(self, config: dict[str, Any], facts: dict[str, Any]) -> None:
        """Make the folder and write what the run is.

        Parameters
        ----------
        config : dict
            Resolved settings, as plain values.
        facts : dict
            What else belongs into ``run.json``.

        Raises
        ------
        FileExistsError
            If the folder holds a run, or anything else.
        """
        if self.config.exists():
            raise FileExistsError(
                f"{self.path} holds a run already ({self.describe()}). Go on with it with "
                "--resume, or choose another --output."
            )
        if self.path.exists() and any(self.path.iterdir()):
            raise FileExistsError(
                f"{self.path} is not empty and holds no run; choose another --output."
            )
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        versions = {name: _version(name) for name in _PACKAGES}
        replace_text(self.status, json.dumps({**facts, "versions": versions}, indent=1) + "\n")
        # Last: a folder with a configuration is a run.
        self.write_config(config)

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the settings of the run."""
        replace_text(self.config, yaml.safe_dump(config, sort_keys=False))

    def read_config(self) -> dict[str, Any]:
        """Return the settings of a run that exists.

        Raises
        ------
        FileNotFoundError
            If there is no run.
        ValueError
            If its configuration can't be read.
        """
        if not self.config.exists():
            if self.path.exists() and any(self.path.iterdir()):
                what, then = "holds no config.yaml", "Choose another --output"
            else:
                what, then = "does not exist", "Leave --resume out to start one"
            raise FileNotFoundError(f"There is no run to resume: {self.path} {what}. {then}.")
        try:
            config = yaml.safe_load(self.config.read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(self._broken(f"{type(error).__name__}: {error}")) from error
        if not isinstance(config, dict):
            raise ValueError(self._broken(f"it holds {type(config).__name__}, not settings"))
        return config

    def _broken(self, why: str) -> str:
        return (
            f"{self.config} can't be read ({' '.join(why.split())}). Restore it, or start again "
            "with another --output."
        )

    def read_status(self) -> dict[str, Any]:
        """Return ``run.json``, empty if there is none that can be read."""
        try:
            status = json.loads(self.status.read_text())
        except (OSError, ValueError):
            return {}
        return status if isinstance(status, dict) else {}

    def set_status(self, status: str, step: int, **more: Any) -> None:
        """Note how far it is: ``"running"``, ``"interrupted"``, ``"failed"``, ``"finished"``."""
        entry = {**self.read_status(), "status": status, "step": step, **more}
        replace_text(self.status, json.dumps(entry, indent=1) + "\n")

    def describe(self) -> str:
        """Return in words how far the run is."""
        status = self.read_status()
        return f"{status.get('status', 'started')} at step {status.get('step', 0)}"

    def lock(self) -> None:
        """Make sure that no other process writes to the run.

        Raises
        ------
        OSError
            If one does.
        """
        # Loading processes of a run that was killed hold its lock until they notice.
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._held.enter_context(lock(self.path / ".lock"))
                return
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise OSError(
                        f"Another process is training in {self.path}; wait for it, or choose "
                        "another --output."
                    ) from error
                time.sleep(0.2)
            except OSError:
                return  # some network file systems have no locks

    def unlock(self) -> None:
        """Let other processes write to the run."""
        self._held.close()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
