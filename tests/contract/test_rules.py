"""Every rule in the catalogue keeps the contract: opt-out, never opt-in. A new rule without a naive reference fails here."""

from functools import partial

import pytest
import torch

import nearfar as nf
from contract.naive import RULES, reference
from nearfar.testing.contract import ContractBroken, contract
from nearfar.testing.problem import measuring


@pytest.mark.parametrize("name", RULES)
def test_contract(name):
    rule = getattr(nf, name)
    held = contract(rule, reference(name))
    stated = set(rule.card.properties)
    assert stated == {p for p, holds in held.items() if holds}, "a property that is not stated must fail somewhere"


@pytest.mark.parametrize("name", RULES)
def test_the_examination_notices_a_wrong_reference(name):
    right = reference(name)

    def wrong(*arguments, **channels):
        made = right(*arguments, **channels)
        return (made[0] + 1e-6, made[1]) if isinstance(made, tuple) else made + 1e-6

    with pytest.raises(ContractBroken, match="naive loops"):
        contract(getattr(nf, name), wrong)


def negate(card_rule):
    return lambda scores, block: -card_rule(scores, block)


FLAWED = {
    "a row's loss depends on other rows": lambda s, b: nf.info_nce(s, b) + 1e-3 * s.sum(),
    "not finite": lambda s, b: (s * b.neg).exp().sum(1).log() - (s * b.pos).sum(1) / b.pos.sum(1).clamp_min(1e-9),
    "weight zero matters": lambda s, b: nf.info_nce(s, b) + 1e-3 * s.mean(1),
    "gradient is wrong": lambda s, b: nf.info_nce(s, b) + (1e-3 * s.detach() ** 2).sum(1),
}


@pytest.mark.parametrize("message", FLAWED)
def test_flawed_rules_are_caught(message):
    flawed = FLAWED[message]

    @nf.rule(nf.Card(name="flawed", summary="wrong on purpose", needs=("positive",)))
    def rule(scores, block):
        return flawed(scores, block)

    with pytest.raises(ContractBroken, match=message):
        contract(rule)


def test_a_false_property_is_caught():
    @nf.rule(nf.Card(name="boast", summary="claims too much", properties=("shift_invariant",)))
    def boast(scores, block):
        return nf.sigmoid(scores, block)

    with pytest.raises(ContractBroken, match="shift_invariant"):
        contract(boast)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("tile", [None, 1, 4])
def test_rows_that_lack_what_the_rule_needs_count_nothing(name, tile):
    rule = getattr(nf, name)
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    y = torch.randn(5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    loss = partial(nf.contrast, rule, relation=nf.paired(), similarity=measuring(rule.card.channels), tile=tile)
    six = loss(nf.rows(x, record=[0, 1, 2, 3, 4, 99]), y)
    (gradient,) = torch.autograd.grad(six, x)
    five = loss(x[:5], y)
    if "positive" in rule.card.needs:
        assert torch.allclose(six, five, atol=1e-12)
        assert gradient[5].abs().max() == 0
    else:
        assert not torch.allclose(six, five, atol=1e-6)
    assert gradient[:5].abs().max() > 0


@pytest.mark.parametrize("tile", [None, 2])
def test_a_batch_in_which_nothing_counts_is_zero(tile):
    x = torch.randn(4, 3, requires_grad=True)
    loss = nf.contrast(
        nf.info_nce, nf.rows(x, record=[0, 1, 2, 3]), nf.rows(x.detach(), record=[5, 6, 7, 8]), nf.paired(), tile=tile
    )
    assert loss.item() == 0
