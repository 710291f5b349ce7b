"""python -m nearfar.catalogue.site FOLDER: write all pages. What a reader would miss, or a link to nowhere, is an error."""

from __future__ import annotations

import sys
from pathlib import Path

from nearfar.catalogue.site.contents import gather
from nearfar.catalogue.site.render import render
from nearfar.core.errors import NearfarError


def main(arguments: list[str]) -> int:
    """Write all pages into a folder; pages that are gone are removed. The exit code: 0, 2 for wrong arguments or what is missing."""
    if len(arguments) != 1:
        print("usage: python -m nearfar.catalogue.site FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    try:
        pages = render(gather())
    except NearfarError as error:
        print(f"error: {error.what}\n  do:  {error.remedy}", file=sys.stderr)
        return error.exit_code
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.suffix in (".html", ".svg", ".js", ".css") and old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")
    print(f"{sum(name.endswith('.html') for name in pages):,} pages in {folder}: open {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
