"""Writes the index of all parts into the wheel, so that an installed nearfar lists them without reading its sources."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class IndexHook(BuildHookInterface):
    """Adds `nearfar/parts.json` to a wheel; an editable install has none, because its sources change."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it packs: `version` is "standard" or "editable"."""
        if version == "editable":
            return
        source = Path(self.root, "src")
        sys.path.insert(0, str(source))
        try:
            from nearfar.core.parts import INDEX, write_index
        finally:
            sys.path.remove(str(source))
        index = Path(tempfile.mkdtemp(prefix="nearfar-build-"), INDEX)
        write_index(index, source / "nearfar")
        build_data["force_include"][str(index)] = f"nearfar/{INDEX}"
