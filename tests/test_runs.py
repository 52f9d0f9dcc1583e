"""The command that reports on training runs."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
from mne.utils import catch_logging

from mne_neurolm.runs import format_history, main, write_run_report


@pytest.fixture(autouse=True)
def no_screen() -> None:
    matplotlib.use("Agg", force=True)


def history(n_steps: int = 30) -> list[dict]:
    entries = []
    for step in range(1, n_steps + 1):
        eeg, text = 5 / step + 2, 3.5
        entry = {"step": step, "epoch": (step - 1) // 10, "loss": eeg + text, "eeg": eeg}
        entry |= {"text": text, "eeg_accuracy": 0.1 * step, "skipped": step // 20, "mfu": 0.25}
        entry |= {"windows_per_s": 40.0, "tokens_per_s": 9000.0, "seconds": 10.0}
        if step % 10 == 0:
            entry |= {"val_loss": eeg + 4, "val_eeg": eeg + 0.5, "val_eeg_accuracy": 0.05 * step}
        entries.append(entry)
    return entries


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "my <run>"
    (folder / "model").mkdir(parents=True)
    lines = "".join(json.dumps(entry) + "\n" for entry in history())
    (folder / "metrics.jsonl").write_text(lines + '{"step": 31, "lo')
    (folder / "config.yaml").write_text("stage: autoregressive  # <b>\nlr: 0.0006\n")
    return folder


def test_the_report_holds_everything(run: Path) -> None:
    before = plt.get_fignums()
    report = write_run_report(run)
    assert plt.get_fignums() == before
    assert report == run / "report.html"
    html = report.read_text(encoding="utf-8")
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', html)[1]
    assert base64.b64decode(picture) == (run / "curves.png").read_bytes()
    assert "http" not in html and "<script" not in html  # nothing from elsewhere
    assert "<h1>Training: my &lt;run&gt;</h1>" in html
    assert "Stage autoregressive, 30 steps, 1 of them skipped, in epoch 3, 5 min of" in html
    assert "no final weights" not in html
    # last, best, step; then the same of validation
    assert "<td>loss</td><td>5.667</td><td>5.667</td><td>30</td><td>6.167</td>" in html
    assert "<td>eeg accuracy</td><td>3</td><td>3</td><td>30</td><td>1.5</td>" in html
    assert "<td>text</td><td>3.5</td><td>3.5</td><td>1</td><td>–</td><td>–</td><td>–</td>" in html
    assert "<td>Windows per second (median)</td><td>40</td>" in html
    assert "<td>Tokens per second (median)</td><td>9,000</td>" in html
    assert "MFU, median)</td><td>25.0%</td>" in html
    assert "<pre>stage: autoregressive  # &lt;b&gt;\nlr: 0.0006\n</pre>" in html
    assert sorted(p.name for p in run.iterdir() if "partial" in p.name) == []


def test_a_run_that_has_just_begun(tmp_path: Path, capsys) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "epoch": 0, "loss": 3.0}\n')
    assert main([str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert re.search(r"step  epoch  loss\n +1 +0 +3\n", output)
    assert f"Report: {tmp_path / 'report.html'}" in output
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "no final weights yet" in html and "There is no config.yaml." in html
    assert "validation: last" not in html
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_several_runs_in_one_report(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "metrics.jsonl").write_text('{"step": 1, "loss": 3.0, "frequency": 1.0}\n')
    out = tmp_path / "reports" / "all.html"
    assert main([str(run), str(other), "--output", str(out)]) == 0
    output = capsys.readouterr().out
    assert "my <run>\nStage autoregressive" in output and "other\nStage tokenizer" in output
    html = out.read_text(encoding="utf-8")
    assert "<h2>my &lt;run&gt;</h2>" in html and "<h2>other</h2>" in html
    assert sorted(p.name for p in out.parent.iterdir()) == ["all.html", "all.png"]
    assert not (run / "report.html").exists()
    monkeypatch.chdir(tmp_path)
    assert main([str(run), str(other)]) == 0
    assert (tmp_path / "runs.html").exists() and (tmp_path / "runs.png").exists()


def test_what_is_no_run(tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path)]) == 1
    assert "is no run: it has no metrics.jsonl" in capsys.readouterr().err
    assert main([str(tmp_path / "missing")]) == 1
    assert "missing does not exist" in capsys.readouterr().err
    (tmp_path / "metrics.jsonl").touch()
    assert main([str(tmp_path)]) == 1
    assert "holds no logged step yet" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_without_matplotlib_the_report_says_what_to_install(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with catch_logging(verbose=True) as log:
        html = write_run_report(run).read_text(encoding="utf-8")
    for message in (html.replace("&#x27;", "'"), log.getvalue()):
        assert "python -m pip install 'mne-neurolm[viz]'" in message
    assert "<td>loss</td>" in html and "<img" not in html
    assert not (run / "curves.png").exists()


def test_steps_without_any_number_are_reported(run: Path) -> None:
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": null, "skipped": 1}\n')
    with catch_logging(verbose=True) as log:
        html = write_run_report(run).read_text(encoding="utf-8")
    assert "no line holds a number" in html and "no line holds a number" in log.getvalue()
    assert "1 of them skipped" in html


def test_the_table_shows_ends_of_epochs() -> None:
    rows = [line.split() for line in format_history(history()).splitlines()]
    assert rows[0] == ["step", "epoch", "loss", "eeg", "text", "val", "loss", "val", "eeg"]
    assert [row[0] for row in rows[1:]] == ["1", "10", "20", "30"]
    assert rows[1][1:] == ["0", "10.5", "7", "3.5", "–", "–"]
    assert rows[-1][1:] == ["2", "5.667", "2.167", "3.5", "6.167", "2.667"]


def test_the_table_is_short() -> None:
    without = [
        {k: v for k, v in entry.items() if not k.startswith("val_")} for entry in history(500)
    ]
    for entries in (without, history(500)):
        rows = format_history(entries).splitlines()[1:]
        steps = [int(row.split()[0]) for row in rows]
        assert len(steps) == 20 and steps == sorted(set(steps))
        assert steps[0] == 1 and steps[-1] == 500
