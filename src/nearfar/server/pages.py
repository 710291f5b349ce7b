"""The files of the page, read into memory when the server starts: from then on no request reaches the file system."""

from __future__ import annotations

from pathlib import Path

MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FIRST = "search.html"


def page_files() -> dict[str, tuple[bytes, str]]:
    """{path: (content, media type)}; the first page is "/"."""
    folder = Path(__file__).with_name("page")
    return {
        "/" if path.name == FIRST else f"/{path.name}": (path.read_bytes(), MEDIA[path.suffix])
        for path in sorted(folder.iterdir())
    }
