"""The files around the package agree with each other."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString

import mne_neurolm
from mne_neurolm._version import __version__

ROOT = Path(__file__).resolve().parent.parent

#: Public names whose examples do not run with the suite, and why.
WITHOUT_RUNNING_EXAMPLE = {
    "convert_checkpoint": "reads the released checkpoints, which have to be downloaded",
    "datasets.from_moabb": "MOABB downloads the recordings",
}

if not (ROOT / "pyproject.toml").exists():
    pytest.skip("the tests run outside a clone of the repository", allow_module_level=True)


def names_in_reference() -> list[str]:
    reference = (ROOT / "doc" / "api.rst").read_text(encoding="utf-8")
    return re.findall(r"^   ([\w.]+)$", reference, re.MULTILINE)


def examples_of(name: str) -> list[doctest.Example]:
    """Return the statements of the section Examples of a public name's docstring."""
    module, _, attribute = f"mne_neurolm.{name}".rpartition(".")
    documented = getattr(importlib.import_module(module), attribute)
    section = NumpyDocString(inspect.getdoc(documented) or "")["Examples"]
    return doctest.DocTestParser().get_examples("\n".join(section))


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
    listed = names_in_reference()
    package = importlib.import_module(f"mne_neurolm.{module}".rstrip("."))
    public = {name for name in package.__all__ if callable(getattr(package, name))}
    assert public
    missing = public - {name.rpartition(".")[2] for name in listed}
    assert not missing, "add them to doc/api.rst"


def test_every_public_name_has_an_example_that_runs() -> None:
    pytest.importorskip("moabb", reason="MOABB is not installed")
    listed = names_in_reference()
    assert len(listed) > 100 and len(set(listed)) == len(listed)
    without, not_running = [], []
    for name in listed:
        examples = examples_of(name)
        running = [
            example
            for example in examples
            if not example.options.get(doctest.SKIP)
            and not example.source.startswith(("import ", "from "))
        ]
        if not examples:
            without.append(name)
        elif not any(example.want for example in running):  # an example shows what comes out
            not_running.append(name)
    assert not without, "add a section Examples to their docstrings"
    assert not_running == list(WITHOUT_RUNNING_EXAMPLE)


def test_files_named_in_the_documentation_exist() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("doc/*.rst")]:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"\]\(([\w./-]+)\)|`((?:tests|doc|mne_neurolm)/[\w./-]+\.\w+)`", text)
        for path in (link or code for link, code in named):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
