"""Prototype discovery: the share of rows taken at their word grows once a step, order changes nothing, equal use is what balance wants."""

import math

import pytest
import torch
from harness import leaf

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.execution.update import update_state

RECORD, VIEW, LABEL = [3, 0, 1, 2, 0, 1, 2, 3], [0] * 4 + [1] * 4, [-1, 0, 1, -1, 0, 1, -1, -1]


def rows(**changed):
    columns = {"record": RECORD, "view": VIEW, "label": LABEL, **changed}
    return nf.rows(leaf(8, 5, seed=0), **columns)


def module(made):
    return made.terms["labels"].function.__self__


def test_the_share_grows_once_a_step_after_waiting():
    made = nf.prototype_discovery(4, 5, least=0.2, waiting=2, growing=4)
    shares = []
    for _ in range(8):
        shares.append(module(made).share)
        update_state(made, {"x": rows()})
    assert shares == pytest.approx([0.2, 0.2, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_order_of_rows_changes_nothing_but_their_looks_do():
    made = nf.prototype_discovery(4, 5, least=0.5)
    module(made).double()
    whole = nf.contrast(made, rows()).item()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    assert nf.contrast(made, rows().take(order)).item() == pytest.approx(whole, abs=1e-12)
    other = nf.contrast(made, rows(record=[3, 0, 1, 2, 1, 0, 2, 3])).item()
    assert other != pytest.approx(whole, abs=1e-4), "known bad: looks of different records"


def test_balance_is_zero_for_equal_use_and_log_k_for_one_prototype():
    made = module(nf.prototype_discovery(4, 4, temperature=0.01))
    with torch.no_grad():
        made.vectors.copy_(torch.eye(4))
    assert made.balance(nf.rows(torch.eye(4))).item() == pytest.approx(0, abs=1e-6)
    assert made.balance(nf.rows(torch.eye(4)[:1])).item() == pytest.approx(math.log(4), abs=1e-6)


def test_without_any_label_the_term_is_zero_with_a_gradient_of_zero():
    made = module(nf.prototype_discovery(4, 5)).double()
    loss = made.labels(rows(label=[-1] * 8))
    loss.backward()
    assert loss.item() == 0
    assert not made.vectors.grad.any()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"sharp": 0.0}, "sharp"),
        ({"supervised": 1.5}, "supervised"),
        ({"waiting": -1}, "waiting"),
        ({"growing": 0}, "growing"),
    ],
)
def test_numbers_out_of_range(options, word):
    with pytest.raises(UsageError, match=word):
        nf.prototype_discovery(4, 5, **options)


def test_what_the_rows_lack():
    made = nf.prototype_discovery(2, 5)
    module(made).double()
    with pytest.raises(UsageError, match="two looks"):
        nf.contrast(made, rows(view=[0] * 8))
    with pytest.raises(DataError, match="class 2"):
        nf.contrast(made, rows(label=[2] * 8))
