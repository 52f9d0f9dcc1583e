"""What the documentation is built with: gallery, links inside the site, names of other projects."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
import zlib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "doc" / "_ext"), str(ROOT / "tools")]

from check_links import broken_links, main  # noqa: E402
from local_inventories import make_inventories  # noqa: E402

EXAMPLES = sorted((ROOT / "examples").glob("*/plot_*.py"))


def settings_order() -> list[str]:
    """Return the gallery's order, read without the packages of the extra ``doc``."""
    tree = ast.parse((ROOT / "doc" / "_ext" / "gallery_settings.py").read_text(encoding="utf-8"))
    (order,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "_ORDER"  # type: ignore[attr-defined]
    )
    return ast.literal_eval(order)


def test_every_example_has_its_place_in_the_gallery() -> None:
    written = {path.relative_to(ROOT / "examples").as_posix() for path in EXAMPLES}
    assert set(settings_order()) == written and len(written) >= 14
    sections = {path.parent for path in EXAMPLES}
    assert all((section / "GALLERY_HEADER.rst").is_file() for section in sections)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_offline_and_public(path: Path) -> None:
    """The run itself is part of ``make doc``; here is what would be seen too late there."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert re.match(r".+\n=+\n\n.{40}", ast.get_docstring(tree) or "", re.DOTALL), "title and text"
    assert "\n# %%\n" in text, "blocks of prose"
    code = ast.unparse(ast.Module(tree.body[1:], type_ignores=[]))  # without what is said about it
    assert not re.search(r"shared/|neurolm-(b|l|xl)['\"]\)|https?://", code)
    for node in ast.walk(tree):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            if node.module and node.module.startswith("mne_neurolm"):
                module = import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), node.module
        private = [name for name in names if name.startswith("_") and not name.startswith("__")]
        assert not private, f"line {node.lineno}: {private}"  # type: ignore[attr-defined]


def test_inventories_hold_what_the_table_says(tmp_path: Path) -> None:
    table = tmp_path / "table.toml"
    table.write_text(
        '[some]\nurl = "https://some.org/"\npage = "api/{name}.html#{name}"\n'
        'class = ["some.Thing"]\nterm = ["word"]\n[some.elsewhere]\nword = "glossary.html#word"\n'
    )
    mapping = make_inventories(table, tmp_path / "out")
    assert mapping == {"some": ("https://some.org/", str(tmp_path / "out" / "some.inv"))}
    head, _, body = (tmp_path / "out" / "some.inv").read_bytes().partition(b"zlib.\n")
    assert head.startswith(b"# Sphinx inventory version 2\n# Project: some\n")
    assert zlib.decompress(body).decode().splitlines() == [
        "some.Thing py:class 1 api/some.Thing.html#some.Thing -",
        "word std:term 1 glossary.html#word -",
    ]
    table.write_text('[some]\nurl = ""\npage = ""\nklass = ["some.Thing"]\n')
    with pytest.raises(ValueError, match=r"table\.toml has \['klass'\] in \[some\]"):
        make_inventories(table, tmp_path / "out")


def test_names_of_other_projects_exist() -> None:
    """A name that another project has dropped would make a dead link that nobody sees offline."""
    table = tomllib.loads((ROOT / "doc" / "inventories.toml").read_text(encoding="utf-8"))
    for project, entry in table.items():
        for role in {"class", "function", "method"} & set(entry):
            for name in entry[role]:
                if "." not in name:
                    continue
                parts = name.split(".")
                found = import_module(parts[0])
                for k, part in enumerate(parts[1:], 2):
                    if not hasattr(found, part):
                        import_module(".".join(parts[:k]))
                    found = getattr(found, part)
                assert callable(found), f"[{project}] {name}"


def test_broken_links_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "picture.png").touch()
    (tmp_path / "sub" / "page.html").write_text('<h1 id="place">x</h1><a href="../index.html">')
    good = (
        '<a href="sub/page.html#place"></a><img src="picture.png"><a href="#here" id="here"></a>'
        '<a href="https://elsewhere.org/none"></a><a href="mailto:a@b.c"></a><a name="old"></a>'
        '<a href="#old"></a><a href="sub/page.html?x=1"></a><a href="#top"></a><a href="./"></a>'
    )
    (tmp_path / "index.html").write_text(good)
    assert broken_links(tmp_path) == ([], 8)
    assert main([str(tmp_path)]) == 0
    (tmp_path.parent / "outside.txt").touch()
    bad = '<a href="sub/page.html#nowhere"></a><img src="none.png"><a href="#gone"></a>'
    bad += '<a href="../outside.txt"></a><a href="sub/"></a><meta name="no"><a href="#no"></a>'
    (tmp_path / "index.html").write_text(good + bad)
    links = ["#gone", "#no", "../outside.txt", "none.png", "sub/", "sub/page.html#nowhere"]
    assert broken_links(tmp_path) == ([f"index.html: {link}" for link in links], 14)
    capsys.readouterr()
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.endswith("14 links inside the site, 6 broken\n")
    assert main([str(tmp_path / "sub")]) == 2
    assert "run `make doc` first" in capsys.readouterr().err
