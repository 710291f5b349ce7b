"""`Use`: a part by its name, and its options - how configurations refer to functions without holding any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Use:
    """A part by its name, and its options."""

    part: str
    options: Mapping[str, Any] = field(default_factory=dict)
