"""Plain running: the whole score matrix in one graph. The reference that every other way must equal."""

from __future__ import annotations

import torch

from nearfar.core.terms import Term
from nearfar.execution.sweep import Sweep


def run_plain(sweep: Sweep) -> Term:
    """Sum and count of one direction, with an ordinary graph (it can be differentiated twice)."""
    everything = slice(0, len(sweep.units))
    number = sweep.units.numbers(everything, sweep.rows.vectors.device)
    rows = sweep.rows if sweep.units.order is None else sweep.rows.take(number)
    loss, count = sweep.losses(rows, sweep.columns, number, everything, sweep.own)
    if sweep.term.weight is not None:
        loss = loss * sweep.term.weight(sweep.rows, sweep.columns)
    if sweep.term.reduce == "log_mean_exp":
        return Term(torch.logsumexp(loss.masked_fill(count == 0, -torch.inf), 0), count.sum(), log=True)
    return Term(loss.sum(), count.sum())
