"""The files around the package agree with each other."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mne_neurolm
from mne_neurolm._version import __version__

ROOT = Path(__file__).resolve().parent.parent

if not (ROOT / "pyproject.toml").exists():
    pytest.skip("the tests run outside a clone of the repository", allow_module_level=True)


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def lowest(*extras: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "lowest.py"), *extras],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("==") for line in done.stdout.splitlines())


def test_constraints_are_public_versions() -> None:
    for name, version in constraints().items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        # No "+cpu" or "+cu130": such builds are not on PyPI.
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"


def test_constraints_pin_what_torchaudio_needs() -> None:
    pins = constraints()
    assert pins["torch"] == "2.14.1"
    assert pins["torchaudio"] == "2.11.0"


def test_constraints_pin_every_requirement_within_its_bounds() -> None:
    from packaging.version import Version

    pins = {name.lower().replace("_", "-"): version for name, version in constraints().items()}
    bounds = lowest("all")
    assert {"torch", "mne", "ruff", "sphinx", "pre-commit", "moabb", "peft"} <= set(bounds)
    for name, version in bounds.items():
        assert Version(pins[name.lower().replace("_", "-")]) >= Version(version), name


def test_torch_2_15_0_is_excluded() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (torch,) = (r for r in map(Requirement, project["dependencies"]) if r.name == "torch")
    assert "2.14.1" in torch.specifier
    assert "2.15.0" not in torch.specifier


def test_version_is_the_same_everywhere() -> None:
    assert mne_neurolm.__version__ == __version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == __version__


@pytest.mark.parametrize(
    "module", ["", "training", "datasets", "evaluation", "viz"], ids=lambda name: name or "top"
)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    reference = (ROOT / "doc" / "api.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   ([\w.]+)$", reference, re.MULTILINE)
    package = importlib.import_module(f"mne_neurolm.{module}".rstrip("."))
    public = {name for name in package.__all__ if callable(getattr(package, name))}
    assert public
    missing = public - {name.rpartition(".")[2] for name in listed}
    assert not missing, "add them to doc/api.rst"


def test_files_named_in_the_documentation_exist() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("doc/*.rst")]:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"\]\(([\w./-]+)\)|`((?:tests|doc|mne_neurolm)/[\w./-]+\.\w+)`", text)
        for path in (link or code for link, code in named):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
