"""Check the links of the built documentation: ``python tools/check_links.py doc/_build/html``.

Those that stay inside it: pages, pictures, styles, downloads and the places inside pages. Links to
other sites need a network: ``make linkcheck``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LINKS = {
    **dict.fromkeys(("a", "link"), "href"),
    **dict.fromkeys(("img", "script", "source", "iframe"), "src"),
}


class _Page(HTMLParser):
    """Links and anchors of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what a tag links to and what can be linked to."""
        values = dict(attrs)
        places = ("id", "name") if tag == "a" else ("id",)
        self.anchors |= {value for key in places if (value := values.get(key))}
        target = values.get(_LINKS.get(tag, ""))
        if target:
            self.links.append(target)


def broken_links(folder: Path) -> tuple[list[str], int]:
    """Return the broken links of a built site, and how many links were followed.

    Parameters
    ----------
    folder : pathlib.Path
        The folder with ``index.html``.

    Returns
    -------
    broken : list of str
        ``"page: link"``, sorted.
    n_links : int
        Number of links inside the site.
    """
    pages = {
        path.resolve(): _Page(path.read_text(encoding="utf-8"))
        for path in folder.rglob("*.html")
        if not {"_static", "_downloads"} & set(path.relative_to(folder).parts)
    }
    broken, n_links = set(), 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            n_links += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if target.is_dir():
                target /= "index.html"
            found = target.is_file() and target.is_relative_to(folder.resolve())
            if found and anchor and anchor != "top" and target in pages:
                found = anchor in pages[target].anchors
            if not found:
                broken.add(f"{path.relative_to(folder.resolve())}: {link}")
    return sorted(broken), n_links


def main(argv: Sequence[str] | None = None) -> int:
    """Print broken links; return 1 if there are any."""
    (folder,) = sys.argv[1:] if argv is None else argv
    if not (Path(folder) / "index.html").is_file():
        sys.stderr.write(f"{folder} has no index.html; run `make doc` first.\n")
        return 2
    broken, n_links = broken_links(Path(folder))
    sys.stdout.write("".join(f"broken link in {line}\n" for line in broken))
    sys.stdout.write(f"{n_links} links inside the site, {len(broken)} broken\n")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
