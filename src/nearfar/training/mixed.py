"""Streams whose inputs are mixed with a batch mate's, number by number: who is whose partner, and how much is whose.

Both are functions of (seed, epoch, the records of the step), so that ranks, workers and micro-batches change nothing; the mixing itself
is done where inputs are embedded, after their views.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nearfar.core.draws import beta, uniform
from nearfar.core.errors import UsageError
from nearfar.core.recipe import Feed
from nearfar.data.bad_records import BadRecords
from nearfar.training.learner import Seen


def check_mix(feed: Feed, bad: BadRecords) -> None:
    """Raises UsageError for a mixed stream that cannot be."""
    refused = {
        f"shares of Beta({feed.mix}, {feed.mix})": not feed.mix > 0,
        "further rows, which have no partner": bool(feed.more),
        "bad records that are skipped, with whom others may have been mixed": bad.on_bad == "skip",
    }
    if wrong := [what for what, is_so in refused.items() if is_so]:
        raise UsageError(
            f"a mixed stream with {wrong[0]}",
            where=f"{feed.name}.mix",
            remedy="give a number above 0, no further rows, and --on-bad raise",
        )


def partners(index: np.ndarray, everyone: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The partner of each record: all of the step in a circle whose order each record's draw decides, each with the next."""
    record = torch.from_numpy(np.sort(everyone))
    line = record[uniform(seed, "mix, partner", epoch, record).argsort(stable=True)].tolist()
    following = dict(zip(line, [*line[1:], line[0]], strict=True))
    return np.array([following[number] for number in index.tolist()])


def share_of(feed: Feed, everyone: np.ndarray, seed: int, epoch: int) -> Tensor:
    """One share a step, whose chance is that of its first record: a pass has each record once."""
    return beta(feed.mix, feed.mix, seed, "mix, share", epoch, int(everyone.min())).float()


def mixed(feed: Feed, seen: Seen, other: Seen, partner: np.ndarray, share: Tensor) -> tuple[Seen, dict[str, Tensor]]:
    """Inputs with those of their partners, and the columns that say who and how much. Raises UsageError for what cannot be mixed."""
    if not all(isinstance(one.inputs, Tensor) and _mixes(one.inputs) for one in (seen, other)):
        raise UsageError(
            "what the encoder makes of these records cannot be mixed",
            where=f"{feed.name}.mix",
            remedy="mix pictures, or rows of numbers",
        )
    columns = dict(seen.columns) | {
        "share": share.expand(len(partner) * feed.copies).clone(),
        "partner": torch.from_numpy(partner).repeat(feed.copies),
    }
    return Seen(seen.inputs, seen.draws, columns, other), columns


def _mixes(inputs: Tensor) -> bool:
    """Whether these are numbers with something between them: no ids of tokens."""
    return inputs.is_floating_point() or inputs.dtype == torch.uint8
