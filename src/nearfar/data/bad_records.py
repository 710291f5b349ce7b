"""What happens to a record that cannot be used: by default the first one stops everything; nothing is lost unseen.

With `on_bad="skip"` bad records are counted and written, with the reason, to a file of their own; above a stated share
of all records that too is an error, because then it is the file that is wrong.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nearfar.core.errors import DataError, ResourceError, UsageError

HOPELESS = 10_000  # after so many records a source that is mostly bad is given up without reading the rest


@dataclass
class BadRecords:
    """The policy and its tally.

    on_bad   "raise" (the first bad record is an error) or "skip"
    path     where skipped records are written, one JSON object a line with `where`, `reason`, `remedy`; None: nowhere
    share    "skip" is an error when more than this share of all records was bad
    count    bad records so far; `seen` all records so far; `reasons` the first five in words
    """

    on_bad: Literal["raise", "skip"] = "raise"
    path: str | Path | None = None
    share: float = 0.01
    count: int = 0
    seen: int = 0
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.on_bad not in ("raise", "skip"):
            raise UsageError(f"on_bad={self.on_bad!r} is unknown", remedy='choose "raise" or "skip"')
        if not 0 <= self.share <= 1:
            raise UsageError(f"a share of {self.share} bad records makes no sense", remedy="give a number from 0 to 1")

    def take(self, error: DataError) -> None:
        """Deal with one bad record: raise it, or count and write it."""
        if self.on_bad == "raise":
            raise error
        self.count += 1
        self.seen += 1
        if len(self.reasons) < 5:
            self.reasons.append(str(error))
        if self.path is not None:
            self._write(error)
        if self.seen >= HOPELESS and self.count > max(self.share, 0.5) * self.seen:
            raise self._too_many(f"of the first {self.seen:,} records")

    def finish(self, source: str) -> None:
        """Raise when too much of the whole source was bad, or nothing was usable."""
        if self.count > self.share * self.seen:
            raise self._too_many(f"of {self.seen:,} records of {source}")
        if self.seen == self.count:
            raise DataError("there is no record", where=source, remedy="give a source that holds records")

    def _too_many(self, of: str) -> DataError:
        written = f" (all in {self.path})" if self.path is not None else ""
        return DataError(
            f"{self.count:,} {of} are bad, more than the {self.share:.1%} allowed{written}; "
            f"the first: {self.reasons[0]}",
            remedy="repair the source, or allow a larger share: --bad-share (bad_share=...)",
        )

    def _write(self, error: DataError) -> None:
        line = json.dumps({"where": error.where, "reason": error.what, "remedy": error.remedy})
        try:
            # Opened for each line: what was written stays when the run is killed, and bad records are rare.
            with open(self.path or "", "w" if self.count == 1 else "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as trouble:
            raise ResourceError(
                f"bad records cannot be written: {trouble.strerror}",
                where=str(self.path),
                remedy="choose a writable place for them",
            ) from None
