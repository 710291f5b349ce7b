"""MV-InfoNCE (arXiv 2507.06979): one row is a record with all its views, under one logarithm. Records may differ in views."""

import pytest
import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.maths.weighted import either
from nearfar.maths.weighted import log_sum_exp as lse

T = 0.5


def inside(scores, block):
    """The log outside the sum of positives; a user's own rule."""
    return lse(scores, either(block.pos, block.neg)) - lse(scores, block.pos)


@pytest.mark.parametrize("views", [[3] * 7, [2, 4, 3, 2, 5, 2, 3]], ids=["even", "uneven"])
def test_a_record_is_a_row(views):
    record = torch.tensor([r for r, v in enumerate(views) for _ in range(v)])
    view = torch.tensor([i for v in views for i in range(v)])
    shuffle = torch.randperm(len(record), generator=torch.Generator().manual_seed(3))
    record, view = record[shuffle], view[shuffle]
    x = leaf(len(record), 5, seed=0)

    def run(tile):
        table = nf.rows(x, record=record, view=view)
        return nf.contrast(inside, table, relation=nf.multi_view(), row="record", temperature=T, tile=tile)

    def loops(one_log):
        z, total = unit(x), []
        for r in range(len(views)):
            mine = [i for i in range(len(record)) if int(record[i]) == r]
            pairs = [[(i, j) for j in range(len(record)) if j != i] for i in mine]
            groups = [sum(pairs, [])] if one_log else pairs
            losses = []
            for group in groups:
                everything = [z[i] @ z[j] / T for i, j in group]
                positive = [z[i] @ z[j] / T for i, j in group if int(record[j]) == r]
                losses.append(log_sum_exp(everything) - log_sum_exp(positive))
            total.append(mean(losses))
        return mean(total)

    # The mean of logs is NT-Xent's way and another loss.
    check(run, lambda: loops(True), lambda: loops(False), [x], tiles=(None, 1, 2, 3, "auto"))
