"""Which steps are negatives, sequences that are too short, and what is refused."""

import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.objectives.step_prediction import Ahead

COLUMNS = {"record": torch.tensor([0, 0, 0, 1, 1]), "time": torch.tensor([0, 1, 2, 0, 1])}


@pytest.mark.parametrize(
    ("negatives", "of_first"),
    [("others", [0, 0, 0, 1, 1]), ("same", [1, 0, 1, 0, 0]), ("both", [1, 0, 1, 1, 1])],
)
def test_negatives(negatives, of_first):
    block = Ahead(1, negatives)(COLUMNS, COLUMNS)
    assert block.pos[0].int().tolist() == [0, 1, 0, 0, 0]
    assert block.neg[0].int().tolist() == of_first
    assert not block.pos[2].any(), "the last step has no later one"


def test_a_distance_beyond_all_sequences_adds_nothing():
    x = nf.rows(torch.randn(2, 3, 4))
    near, far = (nf.step_prediction(steps, dimension=4) for steps in (2, 4))
    assert torch.allclose(2 * nf.contrast(near, x, x), 4 * nf.contrast(far, x, x))


def test_what_is_refused():
    with pytest.raises(UsageError, match="0 steps"):
        nf.step_prediction(0, dimension=4)
    with pytest.raises(UsageError, match="a vector a step"):
        nf.contrast(nf.step_prediction(1, dimension=4), torch.randn(3, 4), torch.randn(3, 4))
