"""`Smoke`: a recipe in a second - small made-up data of its kind, and settings that make it short. Beside `recipe()`, as `SMOKE`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Smoke:
    """How a recipe is tried out.

    data      what its records are, by a name that `nearfar.testing.small_data` knows: "images", "pairs", "texts", "rows", ...
    settings  overrides by dotted name, as `--set` takes them
    n         records
    """

    data: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    n: int = 48
