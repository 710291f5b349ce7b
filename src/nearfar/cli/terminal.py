"""What a terminal can show: its width, and bold type where there is one. Plain text everywhere else."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any, TextIO

WIDEST = 120


def width() -> int:
    """Columns to write in: the terminal's, at most 120; 100 where there is none."""
    return min(shutil.get_terminal_size((100, 24)).columns, WIDEST)


def bold(text: str, stream: TextIO | None = None) -> str:
    """Bold on a terminal, unless NO_COLOR is set; elsewhere unchanged."""
    on_terminal = (sys.stdout if stream is None else stream).isatty()
    if not on_terminal or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[1m{text}\x1b[0m"


def print_json(data: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(data, indent=2, ensure_ascii=False))
