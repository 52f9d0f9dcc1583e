"""Imports that may fail: what the user is told, and what keeps working."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mne_neurolm.utils.optional import hide_broken_torchaudio, import_optional

ROOT = Path(__file__).resolve().parent.parent

LOADER_ERROR = "libcudart.so.99: cannot open shared object file: No such file or directory"


needs_the_trouble = pytest.mark.skipif(
    tuple(map(int, version("transformers").split(".")[:2])) < (5, 23),
    reason="older transformers (seen: 5.10.1) import GPT-2 without torchaudio",
)


@pytest.fixture
def broken_torchaudio(tmp_path: Path) -> Path:
    """Return a folder with an installed torchaudio that raises OSError when it is imported."""
    package = tmp_path / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text(
        f"import torchaudio._extension\nraise OSError({LOADER_ERROR!r})\n", encoding="utf-8"
    )
    (package / "_extension.py").write_text("", encoding="utf-8")
    metadata = tmp_path / "torchaudio-2.11.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchaudio\nVersion: 2.11.0\n", encoding="utf-8"
    )
    (metadata / "RECORD").write_text("", encoding="utf-8")
    return tmp_path


def run_beside(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code with a folder of packages before all others."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@needs_the_trouble
def test_the_simulated_torchaudio_breaks_transformers(broken_torchaudio: Path) -> None:
    """The simulation is the real trouble: without the helper, GPT-2 cannot be imported."""
    done = run_beside(broken_torchaudio, "from transformers import GPT2Model")
    assert done.returncode != 0
    assert LOADER_ERROR in done.stderr


def test_gpt2_beside_a_broken_torchaudio(broken_torchaudio: Path) -> None:
    done = run_beside(
        broken_torchaudio,
        """
import sys
from mne_neurolm.utils.optional import hide_broken_torchaudio
with hide_broken_torchaudio():
    assert sys.modules["torchaudio"] is None
    from transformers import GPT2Config, GPT2Model
assert not [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]
# Modules that transformers loads later rely on the recorded answer.
from transformers import PreTrainedTokenizerFast, pipeline
from transformers.utils import is_torchaudio_available
assert not is_torchaudio_available()
import torch
model = GPT2Model(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=11))
assert model(torch.zeros(1, 3, dtype=torch.long)).last_hidden_state.shape == (1, 3, 8)
""",
    )
    assert done.returncode == 0, done.stderr


@needs_the_trouble
def test_gpt2_when_transformers_was_imported_before(broken_torchaudio: Path) -> None:
    done = run_beside(
        broken_torchaudio,
        """
import transformers
from transformers.utils import is_torchaudio_available
assert is_torchaudio_available()
try:
    transformers.GPT2Model
except Exception as error:
    assert "libcudart" in str(error), error
else:
    raise AssertionError("the simulation does not break transformers")
from mne_neurolm.utils.optional import import_transformers
assert import_transformers() is transformers
assert not is_torchaudio_available()
assert transformers.GPT2Model.__name__ == "GPT2Model"
""",
    )
    assert done.returncode == 0, done.stderr


def test_the_package_beside_a_broken_torchaudio(broken_torchaudio: Path) -> None:
    done = run_beside(
        broken_torchaudio,
        """
from transformers import GPT2Config
from mne_neurolm import NeuroLM, NeuroLMClassifier, NeuroLMTokenizer
from mne_neurolm.models.backbone import build_backbone
build_backbone(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=11))
""",
    )
    assert done.returncode == 0, done.stderr


def test_import_braindecode_names_the_torch_to_install(broken_torchaudio: Path) -> None:
    done = run_beside(
        broken_torchaudio,
        """
from mne_neurolm.utils.optional import import_braindecode
try:
    import_braindecode()
except ImportError as error:
    assert isinstance(error.__cause__, OSError), error.__cause__
    print(error)
""",
    )
    assert done.returncode == 0, done.stderr
    for part in (LOADER_ERROR, "torchaudio 2.11.0", "torch==2.14.1", "2.15.0", "+cpu"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("raise ImportError('cannot import name NoSuchName')", "is installed but broken"),
        ("import a_module_that_is_not_there", "is installed but broken"),
        ("raise ModuleNotFoundError('No module', name='braindecode')", "is not installed"),
    ],
)
def test_import_braindecode_does_not_blame_torchaudio_for_all(
    tmp_path: Path, code: str, advice: str
) -> None:
    (tmp_path / "braindecode.py").write_text(code, encoding="utf-8")
    done = run_beside(
        tmp_path,
        """
from mne_neurolm.utils.optional import import_braindecode
try:
    import_braindecode()
except ImportError as error:
    print(error)
""",
    )
    assert done.returncode == 0, done.stderr
    assert advice in done.stdout
    assert "torch==2.14.1" in done.stdout
    assert "does not load beside" not in done.stdout


def test_import_braindecode_is_quiet(tmp_path: Path) -> None:
    """The deprecations of other projects' imports do not reach users, even as errors."""
    done = run_beside(
        tmp_path,
        """
import warnings
warnings.simplefilter("error")
from mne_neurolm.utils.optional import import_braindecode
print(import_braindecode().__name__)
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["braindecode"]


def test_a_working_torchaudio_is_left_alone() -> None:
    with hide_broken_torchaudio():
        import torchaudio
    assert sys.modules["torchaudio"] is torchaudio


def test_hiding_survives_an_error_in_the_body(
    broken_torchaudio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name == "transformers.utils.import_utils"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(broken_torchaudio))
    with pytest.raises(KeyError, match="from the body"), hide_broken_torchaudio():
        assert sys.modules["torchaudio"] is None
        raise KeyError("from the body")
    assert "torchaudio" not in sys.modules


def test_import_optional_returns_the_module() -> None:
    import json.decoder

    assert import_optional("json.decoder", extra="none", purpose="Reading") is json.decoder


def test_import_optional_says_what_to_install() -> None:
    with pytest.raises(ImportError, match=r"Flying requires no_such_package.*mne-neurolm\[viz\]"):
        import_optional("no_such_package.plots", extra="viz", purpose="Flying")


def test_import_optional_keeps_errors_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "installed_package.py").write_text("import its_missing_part", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="its_missing_part") as caught:
        import_optional("installed_package", extra="viz", purpose="Flying")
    assert caught.value.name == "its_missing_part"
