"""Records that a view or an encoder cannot use, met while training: each is written down once and counted over the whole run.

Whether a record can be used is a function of the record and the epoch, so a resumed run leaves out the same ones. What was found
is part of a checkpoint; like the log, `bad_records.jsonl` is cut to it when a run goes on. Lines of records that were bad when the
data were read stand before, without the number of a record.

All ranks know what each has found, the first one writes. So the file, and the step at which too many records are bad, are those of
a single process.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from nearfar.core.errors import DataError
from nearfar.core.files import unwritable, write_text
from nearfar.data.bad_records import BadRecords
from nearfar.execution.ranks import Ranks
from nearfar.training.loggers import append

TRAINING, HELD_OUT = "training", "held out"
Entry = dict[str, Any]


class Unusable:
    """What was found so far.

    bad      the policy: where it is written, and above which share of the records the run stops
    total    the number of records
    entries  one a bad record, in the order in which they came: part, record, where, reason, remedy, content
    """

    def __init__(self, bad: BadRecords, total: int, ranks: Ranks | None = None) -> None:
        self.bad, self.total, self.ranks = bad, total, ranks
        self.entries: list[Entry] = []
        if bad.on_bad == "skip":
            self._know([line for line in self._lines() if "record" in line])

    def tell(self, found: Mapping[int, tuple[DataError, Any]], part: str = TRAINING) -> None:
        """Errors and contents of records of this step by their numbers: those not known yet are written and counted.

        Every rank calls this for every step. Raises DataError where more than the allowed share of all records is bad.
        """
        if self.bad.on_bad != "skip":
            return
        known = {(e["part"], e["record"]) for e in self.entries} if found or self.ranks else set()
        told = [_entry(part, number, *what) for number, what in found.items()]
        new = [e for e in _of_all(told, self.ranks) if (e["part"], e["record"]) not in known]
        if not new:
            return
        self._know([*self.entries, *new])
        if self._writes:
            assert self.bad.path is not None
            path = Path(self.bad.path)
            try:
                append(path, "".join(json.dumps(e) + "\n" for e in new))
            except OSError as error:
                raise unwritable(path, error) from error
        if len(self.entries) > self.bad.share * self.total:
            written = f" (all in {self.bad.path})" if self.bad.path is not None else ""
            raise DataError(
                f"{len(self.entries):,} of {self.total:,} records cannot be used, more than the {self.bad.share:.1%} "
                f"allowed{written}; the first: {self.entries[0]['reason']}",
                where=self.entries[0]["where"],
                remedy="repair the records, or the view or encoder that fails on them, then go on with --resume",
            )

    def rewind(self, entries: Sequence[Entry]) -> None:
        """A run goes on from a checkpoint that knew these: what was found later will be found again."""
        if self.bad.on_bad != "skip":
            return
        self._know(list(entries))
        kept = [line for line in self._lines() if "record" not in line] + self.entries
        if self._writes and self.bad.path is not None and Path(self.bad.path).exists():
            write_text(Path(self.bad.path), "".join(json.dumps(line) + "\n" for line in kept))

    def warn(self) -> None:
        """Say at the end how many were left out, where there were any."""
        if not self.entries:
            return
        listed = "" if self.bad.path is None else f", listed in {self.bad.path}"
        first = self.entries[0]
        warnings.warn(
            f"{len(self.entries):,} records could not be used and were left out{listed}; the first: "
            f"{first['reason']} [{first['where']}]",
            RuntimeWarning,
            stacklevel=5,
        )

    @property
    def _writes(self) -> bool:
        return self.bad.path is not None and (self.ranks is None or self.ranks.rank == 0)

    def _know(self, entries: list[Entry]) -> None:
        self.entries = entries
        # Read by threads that prepare ahead: a new array, never one that grows.
        self.known = np.array([e["record"] for e in entries if e["part"] == TRAINING], dtype=np.int64)

    def _lines(self) -> list[Entry]:
        """All whole lines of the file; a killed run may have left half of one."""
        path = None if self.bad.path is None else Path(self.bad.path)
        if path is None or not path.exists():
            return []
        text = path.read_text("utf-8", "replace")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.strip()]


def _entry(part: str, number: int, error: DataError, content: Any) -> Entry:
    entry = {"part": part, "record": number, "where": error.where, "reason": error.what, "remedy": error.remedy}
    return entry | ({"content": content} if content else {})


def _of_all(entries: list[Entry], together: Ranks | None) -> list[Entry]:
    """The entries of all ranks, in the order of the ranks."""
    if together is None:
        return entries
    data = json.dumps(entries).encode() if entries else b""
    longest = together.highest(len(data))
    if not longest:
        return []
    # JSON, filled up with blanks to the longest.
    sent = torch.tensor(list(data.ljust(longest)), dtype=torch.uint8)
    if dist.get_backend(together.group) == "nccl":
        sent = sent.cuda()
    received = [torch.empty_like(sent) for _ in range(together.size)]
    dist.all_gather(received, sent, group=together.group)
    texts = [bytes(one.cpu().tolist()).decode().strip() for one in received]
    return [entry for text in texts if text for entry in json.loads(text)]
