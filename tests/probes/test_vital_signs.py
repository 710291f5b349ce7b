"""The figures of a step: known answers, agreement with the losses themselves, and that looking changes nothing."""

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import nearfar as nf
from nearfar.probes.vital_signs import chance_level, tower_norms, vital_signs


def table(vectors, **columns):
    return nf.rows(vectors, **columns)


def signs(objective, x, y=None, terms=None, **streams):
    rows = {"x": table(x) if isinstance(x, torch.Tensor) else x}
    if y is not None:
        rows["y"] = table(y) if isinstance(y, torch.Tensor) else y
    return vital_signs(rows | streams, objective, terms)


def block(n, relation=None):
    records = {"record": torch.arange(n)}
    return (relation or nf.paired())(records, records)


LN = math.log


@pytest.mark.parametrize(
    ("rule", "low", "high", "want"),
    [
        (nf.info_nce, 0, 0, LN(32)),
        (nf.decoupled, 0, 0, LN(31)),
        (nf.triplet, 0, 0, 0.2),
        (nf.energy_hinge, 0, 0, 0.2),
        (nf.sigmoid, -20, 20, LN(32) + 31 * LN(32 / 31)),
        # At a distance d from the best score: d^2 / 2 for the positive, (margin - d)^2 / 2 for each negative within the margin.
        (
            partial(nf.margin, margin=0.5),
            -1,
            1,
            min(d * d / 2 + 31 * max(0, 0.5 - d) ** 2 / 2 for d in np.linspace(0, 2, 9999)),
        ),
    ],
    ids=["info_nce", "decoupled", "triplet", "energy_hinge", "sigmoid", "margin"],
)
def test_chance_level_of_each_rule(rule, low, high, want):
    assert chance_level(rule, block(32), low, high) == pytest.approx(want, rel=2e-3)


def test_chance_level_is_what_collapsed_vectors_cost_where_a_rule_ignores_shifts():
    same = torch.ones(24, 8)
    for rule in (nf.info_nce, nf.decoupled, nf.triplet, nf.energy_hinge):
        collapsed = float(nf.contrast(rule, same, same, nf.paired()))
        assert chance_level(rule, block(24)) == pytest.approx(collapsed, abs=1e-5)
    # The sigmoid does not: at its own bias equal scores cost more than they need to.
    assert chance_level(nf.sigmoid, block(24), -20.0, 20.0) < 0.5 * float(
        nf.contrast(nf.sigmoid, same, same, nf.paired())
    )


def test_chance_and_floor_of_a_term_are_losses_of_vectors():
    """Chance: collapsed vectors. Floor: the corners of a simplex, positives on one another."""
    n = 12
    corners = torch.eye(n) - 1 / n
    term = nf.Scored(nf.info_nce, nf.paired(), temperature=0.3, both_ways=True)
    found = signs(term, torch.randn(n, n), torch.randn(n, n))
    assert found["chance"] == pytest.approx(float(nf.contrast(term, torch.ones(n, n), torch.ones(n, n))), rel=1e-4)
    assert found["floor"] == pytest.approx(float(nf.contrast(term, corners, corners)), rel=1e-4)
    assert found["floor"] < float(nf.contrast(term, torch.eye(n), torch.eye(n))), (
        "orthogonal vectors are not perfect yet"
    )


def test_chance_counts_the_pairs_that_there_are():
    relation = nf.paired().drop_negatives(nf.same("topic"))
    x = table(torch.randn(20, 8), topic=torch.arange(20) % 2)
    found = signs(nf.Scored(nf.info_nce, relation), x, x.with_vectors(torch.randn(20, 8)))
    assert (found["candidates"], found["chance"]) == (11, pytest.approx(LN(11), rel=1e-4))
    memory = nf.queue(100)
    memory.update(table(torch.randn(30, 8), record=torch.arange(100, 130)))
    found = signs(nf.Scored(nf.info_nce, nf.paired(), keys=memory), torch.randn(20, 8), torch.randn(20, 8))
    assert found["chance"] == pytest.approx(LN(50), rel=1e-4)


def test_both_ways_and_weights_enter_the_level_of_the_whole_loss():
    """Explicit negatives: 20 queries against 30 keys, but keys against 20 queries."""
    x, y = torch.randn(20, 8), torch.randn(30, 8)
    term = nf.Scored(nf.info_nce, nf.paired(), both_ways=True)
    objective = nf.Objective({"contrast": term, "vicreg": nf.vicreg().terms["variance"]}, {"contrast": 0.5})
    keys = table(y, record=torch.cat([torch.arange(20), torch.arange(20, 30)]))
    x, y = x.requires_grad_(), keys
    made = nf.backward(
        nf.Objective({"contrast": term}, {"contrast": 0.5}),
        {"x": nf.Stream(nn.Identity(), x), "y": nf.Stream(lambda v: v, y.vectors, dict(y.columns))},
        ranks=None,
    )
    found = vital_signs(made.rows, objective, made)
    assert found["scored_chance"] == pytest.approx(0.5 * (LN(30) + LN(20)) / 2, rel=1e-3)
    assert found["scored_loss"] == pytest.approx(float(made.loss), rel=1e-4)


def test_a_learned_bias_reaches_any_level_and_a_fixed_one_does_not():
    bias = nn.Parameter(torch.tensor(0.0))
    x, y = torch.randn(64, 8), torch.randn(64, 8)
    free = signs(nf.Scored(nf.sigmoid, nf.paired(), bias=lambda: bias), x, y)
    fixed = signs(nf.Scored(nf.sigmoid, nf.paired()), x, y)
    assert free["chance"] == pytest.approx(LN(64) + 63 * LN(64 / 63), rel=2e-3)
    assert fixed["chance"] > 3 * free["chance"]


def test_ranks():
    """Row 0 finds its partner, row 1 its second best, row 2 the last of all."""
    scores = torch.tensor([[3.0, 1.0, 2.0, 0.0], [2.0, 1.5, 0.0, 0.0], [3.0, 2.0, 0.0, 1.0]])
    term = nf.Scored(nf.info_nce, nf.paired(), similarity=lambda q, k: scores)
    found = signs(term, torch.randn(3, 5), torch.randn(4, 5))
    assert found["found_first"] == pytest.approx(1 / 3, rel=1e-4)
    assert found["lower_half"] == pytest.approx(1 / 3, rel=1e-4)
    assert found["positive_similarity"] == pytest.approx(1.5, rel=1e-4)
    tied = signs(nf.Scored(nf.info_nce, nf.paired()), torch.ones(8, 5), torch.ones(8, 5))
    assert (tied["found_first"], tied["lower_half"]) == (0.125, 0.0)


def test_geometry():
    draw = torch.randn(400, 12)
    term = nf.vicreg()
    every = signs(term, draw, draw)
    assert every["effective_rank/x"] == pytest.approx(12, abs=0.7)
    assert every["directions/x"] == 12
    assert abs(every["mean_cosine/x"]) < 0.02
    line = signs(term, draw[:, :1] * torch.randn(12) + 3, draw)
    assert line["directions/x"] == 1
    assert line["effective_rank/x"] == pytest.approx(1, abs=1e-3)
    point = signs(term, torch.ones(50, 12), draw[:50])
    assert point["mean_cosine/x"] == pytest.approx(1, abs=1e-6)
    assert point["effective_rank/x"] == 0
    assert point["deviation/x"] == 0 < point["deviation/y"]
    assert "deviation/x" not in signs(nf.Scored(nf.info_nce, nf.paired()), draw, draw), (
        "angles are what is compared there"
    )


def test_bad_rows_are_counted():
    vectors = torch.randn(40, 6)
    vectors[:4], vectors[4:14] = float("nan"), 0
    found = signs(nf.Scored(nf.info_nce, nf.paired()), vectors, torch.randn(40, 6))
    assert found["non_finite/x"] == pytest.approx(0.1)
    assert found["zero_rows/x"] == pytest.approx(10 / 36, rel=1e-3)
    assert found["non_finite/y"] == found["zero_rows/y"] == 0
    assert all(math.isfinite(v) for v in found.values())


def test_equal_keys_are_found_by_text_and_by_vector():
    x, y = torch.randn(40, 16), torch.randn(40, 16)
    plain = nf.Scored(nf.info_nce, nf.paired())
    assert signs(plain, x, y)["false_negatives"] == 0
    twice = y.clone()
    twice[20:] = y[:20]
    assert signs(plain, x, twice)["false_negatives"] == 1
    texts = torch.arange(40) // 2
    said = table(y, document=texts, query=torch.arange(40))
    assert signs(plain, x, said)["false_negatives"] == 1
    left_out = nf.Scored(nf.info_nce, nf.paired().drop_negatives(nf.same("document")))
    assert signs(left_out, table(x, document=texts, query=torch.arange(40)), said)["false_negatives"] == 0
    near = torch.cat([y[:20], y[:20] + 0.01 * torch.randn(20, 16)])
    found = signs(plain, x, near)
    assert (found["near_negatives"], found["false_negatives"]) == (1, 0)


def test_a_gap_between_streams():
    x = torch.randn(200, 16)
    shifted = signs(nf.Scored(nf.info_nce, nf.paired()), x + 2, x - 2)
    level = signs(nf.Scored(nf.info_nce, nf.paired()), x, x)
    assert shifted["gap/x-y"] > 2 > 0.1 > level["gap/x-y"]
    assert level["pair_cosine/x-y"] == pytest.approx(1, abs=1e-5)
    assert "gap/x-y" not in signs(nf.vicreg(), x, x), "coordinates have no gap"


def test_a_memory_is_full_or_empty_moves_or_stands_still_and_grows_old():
    memory = nf.queue(64)
    term = nf.Scored(nf.info_nce, nf.paired(), keys=memory)

    def batch(shift=0.0):
        return table(torch.randn(32, 8) + shift, record=torch.arange(32))

    first = batch()
    empty = signs(term, batch(), first)
    assert (empty["queue_fill"], "queue_gap" in empty) == (0, False)
    memory.update(first)
    half = signs(term, batch(), first)
    assert (half["queue_fill"], half["queue_same"]) == (0.5, pytest.approx(1, abs=1e-5))
    assert half["queue_mark"] == signs(term, batch(), batch())["queue_mark"] != empty["queue_mark"]
    memory.update(batch())
    assert signs(term, batch(), first)["queue_mark"] != half["queue_mark"]
    assert signs(term, batch(), batch(5.0))["queue_gap"] > 0.5 > signs(term, batch(), batch())["queue_gap"]
    warming = nf.cross_batch_memory(64, start=100)
    term = nf.Scored(nf.info_nce, nf.labelled(), keys=warming, keys_from=None)
    labelled = table(torch.randn(32, 8), record=torch.arange(32), label=torch.arange(32) % 4)
    before = signs(term, labelled)["queue_mark"]
    warming.update(labelled)
    assert signs(term, labelled)["queue_mark"] != before, "a memory in its warm-up is no dead one"


class Mixing(nn.Module):
    """A global head with batch norm and dropout."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.5)

    def forward(self, rows):
        return rows.with_vectors(self.drop(self.norm(rows.vectors)))


def test_looking_changes_nothing():
    head, x, y = Mixing(), torch.randn(32, 8, requires_grad=True), torch.randn(32, 8)
    term = nf.Scored(nf.info_nce, nf.paired(), head=head, keys=nf.chained(nf.queue(64), nf.noise_negatives()))
    state, mode = {k: v.clone() for k, v in head.state_dict().items()}, [m.training for m in head.modules()]
    torch.manual_seed(3)
    want = torch.rand(4)
    torch.manual_seed(3)
    found = signs(term, x, y)
    assert "chance" in found
    assert torch.equal(torch.rand(4), want)
    assert all(torch.equal(v, state[k]) for k, v in head.state_dict().items())
    assert [m.training for m in head.modules()] == mode
    assert x.grad is None
    # The same look without care does change something.
    head(table(y))
    assert not torch.equal(head.norm.running_mean, state["norm.running_mean"])


def test_a_head_that_hides_its_modules_is_not_called():
    called = []
    term = nf.Scored(nf.info_nce, nf.paired(), head=lambda rows: called.append(1) or rows)
    assert "chance" not in signs(term, torch.randn(8, 4), torch.randn(8, 4))
    assert called == []


def test_every_kind_of_term_and_rows_gives_plain_numbers():
    x = table(torch.randn(32, 8).bfloat16(), label=torch.arange(32) % 4)
    tokens = nf.rows(torch.randn(8, 5, 6), mask=torch.ones(8, 5, dtype=torch.bool))
    late = nf.Scored(nf.info_nce, nf.paired(), similarity=nf.late_interaction)
    empty = table(torch.randn(0, 8))
    for objective, rows in (
        (nf.Scored(nf.info_nce, nf.labelled(), keys_from=None), {"x": x}),
        (late, {"x": tokens, "y": tokens}),
        (nf.byol((("x", "y"),)), {"x": x, "y": x}),
        (nf.Scored(nf.info_nce, nf.paired()), {"x": empty, "y": empty}),
        (nf.Scored(nf.info_nce, None, own=torch.randn(32, 3, 8)), {"x": x, "y": x}),
        (
            nf.Scored(nf.mv_info_nce, nf.multi_view(), row="record", keys_from=None),
            {"x": x.with_columns(view=torch.zeros(32))},
        ),
        (
            nf.Scored(nf.info_nce, nf.paired(), edits=[nf.hardest(3)]),
            {"x": x, "y": x.with_vectors(torch.randn(32, 8).bfloat16())},
        ),
    ):
        found = vital_signs(rows, objective)
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert all(type(v) is float for v in found.values())


def test_large_batches_are_sampled_and_the_sample_is_like_the_whole():
    torch.manual_seed(1)
    hidden = torch.randn(3000, 16)
    x, y = hidden + 0.8 * torch.randn(3000, 16), hidden + 0.8 * torch.randn(3000, 16)
    term = nf.Scored(nf.info_nce, nf.paired(), temperature=0.1)
    found = signs(term, x, y)
    cosines = nn.functional.normalize(x, dim=1) @ nn.functional.normalize(y, dim=1).T
    first = float((cosines.argmax(1) == torch.arange(3000)).float().mean())
    assert found["candidates"] == 3000
    assert found["found_first"] == pytest.approx(first, abs=4 * math.sqrt(first * (1 - first) / 43))
    assert found == signs(term, x, y), "the same rows are looked at each time"


def test_tower_norms():
    tower, frozen = nn.Linear(4, 3), nn.Linear(4, 3).requires_grad_(False)
    idle = nn.Linear(4, 3)
    table = nn.Embedding(1000, 4, sparse=True)
    tower(torch.randn(5, 4)).square().sum().backward()
    table(torch.tensor([1, 1, 2])).sum().backward()
    after = tower_norms({"tower": tower, "frozen": frozen, "idle": idle, "table": table})
    old = [p.detach().clone() for p in tower.parameters()]
    gradient = torch.cat([p.grad.flatten() for p in tower.parameters()]).norm()
    torch.optim.SGD([*tower.parameters(), *table.parameters()], lr=0.1).step()
    found = after()
    assert found["gradient_norm/tower"] == pytest.approx(float(gradient), rel=1e-5)
    assert found["gradient_norm/table"] == pytest.approx(math.sqrt(4 * (4 + 1)), rel=1e-5)
    length = torch.cat([p.flatten() for p in old]).norm()
    assert found["update_ratio/tower"] == pytest.approx(0.1 * float(gradient / length), rel=1e-5)
    assert found["gradient_norm/idle"] == found["update_ratio/idle"] == 0
    assert not [name for name in found if name.endswith("/frozen")]


def test_the_update_of_a_large_tower_is_estimated_well():
    tower = nn.Linear(1000, 500)
    tower(torch.randn(8, 1000)).square().sum().backward()
    old = torch.cat([p.detach().flatten().clone() for p in tower.parameters()])
    after = tower_norms({"t": tower})
    torch.optim.Adam(tower.parameters(), lr=0.01).step()
    new = torch.cat([p.detach().flatten() for p in tower.parameters()])
    assert after()["update_ratio/t"] == pytest.approx(float((new - old).norm() / old.norm()), rel=0.05)


def test_vectors_whose_squares_are_no_numbers_are_still_measured():
    vectors = torch.randn(32, 6)
    plain, huge = (nf.vital_signs({"x": nf.rows(v)}, nf.Objective({})) for v in (vectors, vectors * 1e25))
    assert not (vectors * 1e25).square().isfinite().all(), "the squares must overflow for this to test anything"
    for name in ("effective_rank/x", "first_share/x", "directions/x"):
        assert huge[name] == pytest.approx(plain[name], rel=1e-4)
