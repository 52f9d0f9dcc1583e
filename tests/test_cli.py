"""The mne-neurolm command."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points
from types import ModuleType

import pytest

from mne_neurolm import cli
from mne_neurolm._version import __version__


@pytest.fixture
def called_with(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return what the command ``probe``, which exits with 3, was called with."""
    calls: list[list[str]] = []

    def probe_main(argv: list[str]) -> int:
        calls.append(argv)
        return 3

    module = ModuleType("probe_module")
    module.main = probe_main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "probe_module", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", cli.Command("probe_module", "probe something"))
    return calls


def test_a_command_gets_its_arguments_and_gives_the_status(called_with) -> None:
    assert cli.main(["probe", "file.pt", "--help"]) == 3
    assert called_with == [["file.pt", "--help"]]


def test_arguments_of_the_process(called_with, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mne-neurolm", "probe", "--out", "x"])
    assert cli.main() == 3
    assert called_with == [["--out", "x"]]


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"]])
def test_help_has_one_line_per_command(argv, called_with, capsys) -> None:
    assert cli.main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in cli.COMMANDS.items():
        assert [line for line in lines if line.split(maxsplit=1) == [name, command.summary]]
    assert not called_with


def test_version(capsys) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mne-neurolm {__version__}\n"


@pytest.mark.parametrize(
    ("name", "hint"), [("dem", "Did you mean 'demo'?"), ("fly", "convert, demo")]
)
def test_unknown_command(name: str, hint: str, capsys) -> None:
    assert cli.main([name]) == 2
    output = capsys.readouterr()
    assert repr(name) in output.err
    assert hint in output.err
    assert not output.out


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_explains_itself(name: str, capsys) -> None:
    assert callable(importlib.import_module(cli.COMMANDS[name].module).main)
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_the_console_script_is_this_function() -> None:
    (script,) = entry_points(group="console_scripts", name="mne-neurolm")
    assert script.value == "mne_neurolm.cli:main"
