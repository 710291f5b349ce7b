"""Objectives that learn or remember beside their terms, named by a recipe: what the library knows of the data reaches them."""

from typing import Any

import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.core.use import Use
from nearfar.training.modules import modules_in
from nearfar.training.objective import objective_of


def made(part, **options):
    known = {"steps": 2, "explicit": False, "columns": frozenset(), "seed": 0, "records": 9}
    return objective_of(Use(part, options), (), 6, **known)


def module(objective, kind) -> Any:
    (found,) = {m for m in modules_in(objective).values() if type(m).__name__ == kind}
    return found


def test_a_table_has_an_entry_a_record():
    objective = made("individual_temperatures", relation="multi_view", rho=1.0)
    own = module(objective, "IndividualTemperatures")
    assert own.temperature.shape == (9,)
    assert own.relation == nf.multi_view()
    x = nf.rows(torch.randn(6, 6), record=torch.tensor([8, 1, 2] * 2), view=torch.arange(6) // 3)
    nf.update_state(objective, {"x": x})
    assert (own.temperature != own.temperature[0]).nonzero().flatten().tolist() == [1, 2, 8]


def test_a_relation_is_named_with_its_options():
    own = module(
        made("individual_temperatures", relation=Use("temporal", {"window": 2.0}), rho=1.0), "IndividualTemperatures"
    )
    assert own.relation == nf.temporal(2.0)


def test_heads_fit_the_vectors():
    objective = made("adaptive_heads", relation="multi_view", out=4, heads=2)
    assert sorted(objective.terms) == ["head0", "head1"]
    assert module(objective, "AdaptiveHeads").phi[0].in_features == 4
    x = nf.rows(torch.randn(6, 6), record=torch.arange(6) % 3, view=torch.arange(6) // 3)
    assert torch.isfinite(nf.contrast(objective, x))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"relation": "multiview"}, "multi"), ({"rho": 1.0}, "relation"), ({"relation": "paired"}, "rho")],
)
def test_what_is_missing_or_misspelt_is_told(options, message):
    with pytest.raises(UsageError, match=message):
        made("individual_temperatures", **options)
