"""`Dataset`: records for an experiment in three parts - to train on, to choose settings by, and to measure with once.

Where files are needed they lie under the folder that the environment variable NEARFAR_DATA names; there is no default, and
nothing is ever downloaded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nearfar.core.errors import ResourceError, UsageError
from nearfar.data.records import Records

VARIABLE = "NEARFAR_DATA"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Small real data.

    parts  name -> Records: "train", "dev" and "test", and others that a measure asks for. None shares a record with another
    facts  what else an experiment needs to know: names of classes, numbers of items

    Raises UsageError for a part that is not there.
    """

    name: str
    parts: Mapping[str, Records]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> Records:
        """The records of a part."""
        if name not in self.parts:
            raise UsageError(f"{self.name} has no part {name!r}", remedy=f"there are {', '.join(self.parts)}")
        return self.parts[name]

    @property
    def train(self) -> Records:
        """What may be trained on."""
        return self.part("train")

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all parts."""
        told = "".join(f"{name}:{records.fingerprint};" for name, records in sorted(self.parts.items()))
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def data_folder(*names: str) -> Path:
    """A file or folder under NEARFAR_DATA.

    Raises ResourceError, which names the variable, where it is unset or the file is not there.
    """
    root = os.environ.get(VARIABLE, "")
    if not root:
        raise ResourceError(
            f"{'/'.join(names)} lies under a folder that the environment variable {VARIABLE} names, and it is not set",
            where=VARIABLE,
            remedy=f"export {VARIABLE}=FOLDER, the one that holds {names[0]}/",
        )
    path = Path(root, *names)
    if not path.exists():
        raise ResourceError(
            f"there is no {'/'.join(names)} under {VARIABLE}",
            where=str(path),
            remedy=f"set {VARIABLE} to a folder that has it",
        )
    return path
