"""Objectives on whole tables: known answers, stable gradients, chance that belongs to the step, and every documented error."""

import math

import pytest
import torch
from harness import check, leaf, mean, unit
from hypothesis import given
from hypothesis import strategies as st

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.maths.correlation import standardise
from nearfar.maths.smoothing import gaussian, smoothing
from nearfar.maths.whitening import cholesky_whitened, covariance, inverse_root, zca

N, D = 8, 3


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def two_views(x, y):
    return nf.rows(torch.cat([x, y]), record=[*range(len(x)), *range(len(y))])


def gradient_of(loss, *inputs):
    return torch.autograd.grad(loss, inputs)


# Alignment and uniformity


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.0])
def test_pairs_that_agree_cost_nothing_and_have_a_finite_gradient(alpha):
    x = leaf(N, D, seed=0)
    loss = nf.contrast(nf.alignment(alpha), x, 3 * x.detach())
    assert loss.item() == pytest.approx(0, abs=1e-7)
    assert gradient_of(loss, x)[0].isfinite().all()
    opposite = nf.contrast(nf.alignment(alpha), x, -x.detach())
    assert opposite.item() == pytest.approx(2**alpha)


def test_alignment_of_near_pairs_keeps_its_digits():
    x = torch.tensor([[1.0, 0.0]])
    y = torch.tensor([[1.0, 1e-5]])
    assert nf.contrast(nf.alignment(), x, y).item() == pytest.approx(1e-10, rel=1e-3)
    assert (2 - 2 * torch.cosine_similarity(x, y)).item() != pytest.approx(1e-10, rel=1e-3)


@pytest.mark.parametrize("tile", [None, 1, 3])
def test_uniformity_of_known_point_sets(tile):
    t = 0.7

    def of(points):
        return nf.contrast(nf.uniformity(t), torch.tensor(points, dtype=torch.float64), tile=tile).item()

    assert of([[1, 0], [-1, 0]]) == pytest.approx(-4 * t)
    assert of([[1, 0], [5, 0], [0.1, 0]]) == pytest.approx(0)
    square = math.log((2 * math.exp(-2 * t) + math.exp(-4 * t)) / 3)
    assert of([[1, 0], [0, 1], [-1, 0], [0, -1]]) == pytest.approx(square)
    assert of([[1, 0]]) == 0


def test_uniformity_takes_the_negatives_of_a_relation():
    x = nf.rows(normal(N, D), label=[0, 0, 0, 1, 1, 1, 2, 2])
    z = unit(x.vectors)
    pairs = [
        math.exp(-2 * float((z[i] - z[j]).square().sum()))
        for i in range(N)
        for j in range(N)
        if x.columns["label"][i] != x.columns["label"][j]
    ]
    got = nf.contrast(nf.uniformity(relation=nf.labelled()), x).item()
    assert got == pytest.approx(math.log(sum(pairs) / len(pairs)))
    assert got != pytest.approx(nf.contrast(nf.uniformity(), x).item(), abs=1e-3)


def test_decoupled_uniformity_of_equal_views_is_uniformity_and_disagreement_raises_it():
    x = normal(N, D)
    plain = nf.contrast(nf.uniformity(), x).item()
    assert nf.contrast(nf.decoupled_uniformity(), two_views(x, 4 * x)).item() == pytest.approx(plain)
    apart = nf.contrast(nf.decoupled_uniformity(), two_views(x, x + normal(N, D, seed=1))).item()
    assert apart > plain + 0.01
    assert nf.contrast(nf.decoupled_uniformity(), two_views(x, -x)).item() == pytest.approx(0)


@pytest.mark.parametrize("part", ["decoupled_uniformity", "kernel_uniformity"])
def test_the_order_of_rows_does_not_matter(part):
    table = two_views(normal(N, D), normal(N, D, seed=1)).with_columns(prior=normal(2 * N, 2, seed=2))
    shuffled = table.take(torch.randperm(2 * N, generator=torch.Generator().manual_seed(1)))
    first, second = (nf.contrast(getattr(nf, part)(), t).item() for t in (table, shuffled))
    assert first == pytest.approx(second, abs=1e-12)
    broken = shuffled.with_columns(record=table.columns["record"])
    assert nf.contrast(getattr(nf, part)(), broken).item() != pytest.approx(first, abs=1e-4)


def test_a_narrow_kernel_gives_shortened_means_and_a_flat_one_a_single_point():
    table = two_views(normal(N, D), normal(N, D, seed=1)).with_columns(prior=[*range(N)] * 2)
    strength = 0.25
    narrow = nf.contrast(nf.kernel_uniformity(sigma=1e-3, regularisation=strength), table).item()
    short = nf.contrast(nf.decoupled_uniformity(2 / (1 + strength) ** 2), table).item()
    assert narrow == pytest.approx(short, abs=1e-12)
    assert narrow != pytest.approx(nf.contrast(nf.decoupled_uniformity(), table).item(), abs=1e-3)
    flat = table.with_columns(prior=torch.ones(2 * N, 2))
    assert nf.contrast(nf.kernel_uniformity(sigma=1.0), flat).item() == pytest.approx(0, abs=1e-12)
    theory = nf.contrast(nf.kernel_uniformity(sigma=1.0, regularisation=None), table).item()
    same = nf.contrast(nf.kernel_uniformity(sigma=1.0, regularisation=N**-0.5), table).item()
    assert theory == same


def test_smoothing_is_kernel_ridge_regression():
    features = normal(N, 2)
    kernel = gaussian(features, 0.8)
    assert torch.allclose(smoothing(kernel, 0.1), torch.linalg.inv(kernel + 0.1 * torch.eye(N)) @ kernel, atol=1e-12)
    assert not torch.allclose(smoothing(kernel, 0.2), smoothing(kernel, 0.1), atol=1e-3)
    distances = torch.pdist(features)
    middle = distances.median().item()
    assert torch.allclose(gaussian(features), gaussian(features, middle))
    twice = torch.cat([features, features]) * 1e6
    assert float(gaussian(twice.float(), 1.0).max()) <= 1, "rounding made a squared distance negative"


def test_any_kernel_serves():
    table = two_views(normal(N, D), normal(N, D, seed=1)).with_columns(prior=normal(2 * N, 2, seed=2))
    linear = nf.contrast(nf.kernel_uniformity(kernel=lambda f: unit(f) @ unit(f).T, regularisation=0.5), table)
    assert linear.item() != pytest.approx(nf.contrast(nf.kernel_uniformity(regularisation=0.5), table).item(), abs=1e-4)


# Correlation and variance


def test_barlow_is_zero_for_an_identity_and_d_for_collapse():
    white = zca(normal(20, 4), 0.0)
    assert nf.contrast(nf.barlow(1.0, epsilon=0.0), white, white).item() == pytest.approx(0, abs=1e-20)
    turned = white[:, [1, 0, 2, 3]]
    assert nf.contrast(nf.barlow(1.0, epsilon=0.0), white, turned).item() == pytest.approx(4)
    collapsed = torch.ones(20, 4, requires_grad=True)
    loss = nf.contrast(nf.barlow(), collapsed, collapsed)
    assert loss.item() == 4
    assert gradient_of(loss, collapsed)[0].isfinite().all()


@given(st.floats(0.5, 20), st.floats(-50, 50))
def test_barlow_knows_no_scale_and_no_mean(scale, shift):
    x, y = normal(N, D), normal(N, D, seed=1)
    objective = nf.barlow(epsilon=0.0)
    moved = nf.contrast(objective, scale * x + shift, y)
    assert moved.item() == pytest.approx(nf.contrast(objective, x, y).item(), abs=1e-9)
    if scale > 1:
        assert nf.contrast(nf.vicreg(), scale * x, y).item() != nf.contrast(nf.vicreg(), x, y).item()


def mixture(x, y, share, partner, record):
    return nf.rows(
        share[:, None] * x + (1 - share)[:, None] * y[partner], share=share, partner=record[partner], record=record
    )


def test_a_mixture_of_nothing_costs_nothing():
    x, record = zca(normal(N, D), 0.0), torch.arange(N)
    own = mixture(x, x, torch.ones(N, dtype=torch.float64), record, record)
    base = nf.contrast(nf.mixed_barlow(mixed=0), x, x, streams={"mixed": own}).item()
    assert nf.contrast(nf.mixed_barlow(mixed=9), x, x, streams={"mixed": own}).item() == pytest.approx(base, abs=1e-12)
    other = mixture(x, x, torch.full((N,), 0.5, dtype=torch.float64), record.flip(0), record)
    assert nf.contrast(nf.mixed_barlow(mixed=9), x, x, streams={"mixed": other}).item() > base + 1e-4


def test_mixing_is_told_by_record_so_the_order_of_rows_does_not_matter():
    x, y, record = normal(N, D), normal(N, D, seed=1), torch.arange(N) * 10
    draws = torch.Generator().manual_seed(4)
    share, partner = torch.rand(N, generator=draws, dtype=torch.float64), torch.randperm(N, generator=draws)
    tables = [nf.rows(x, record=record), nf.rows(y, record=record), mixture(x, y, share, partner, record)]
    order = torch.randperm(N, generator=draws)

    def loss(x, y, mixed):
        return nf.contrast(nf.mixed_barlow(), x, y, streams={"mixed": mixed}).item()

    truth = loss(*tables)
    assert loss(*[t.take(order) for t in tables]) == pytest.approx(truth, abs=1e-12)
    assert loss(*tables[:2], tables[2].with_columns(partner=record)) != pytest.approx(truth, abs=1e-4)
    # Every row with a share of its own: the mixture of standardised rows, taken by rows.
    s = [standardise(t.vectors, 1) for t in tables]
    expected = share[:, None] * s[0] + (1 - share)[:, None] * s[1][partner]
    gaps = sum(((s[2] - expected).T @ side / N).square().sum() for side in s[:2])
    base = nf.contrast(nf.mixed_barlow(mixed=0), *tables[:2], streams={"mixed": tables[2]}).item()
    assert truth == pytest.approx(base + 4 * 0.0078125 * gaps.item())


def test_vicreg_names_its_terms_and_each_weight_reaches_its_own():
    x, y = normal(N, D), normal(N, D, seed=1)
    assert list(nf.vicreg().terms) == ["invariance", "variance", "covariance"]
    only = [nf.contrast(nf.vicreg(*(w == i for i in range(3))), x, y).item() for w in range(3)]
    assert only[0] == pytest.approx((x - y).square().mean().item())
    assert only[2] == pytest.approx(
        sum((z.T.cov().square().sum() - z.var(0).square().sum()).item() / D for z in (x, y))
    )
    assert nf.contrast(nf.vicreg(), x, y).item() == pytest.approx(25 * only[0] + 25 * only[1] + only[2])
    assert nf.contrast(nf.vicreg(), x + 5, y + 5).item() == pytest.approx(nf.contrast(nf.vicreg(), x, y).item())
    one = nf.contrast(nf.vicreg(), x[:, :1], y[:, :1])
    assert one.isfinite(), "a single dimension has no other to repeat"


# Whitening


def through_eigh(matrix):
    values, basis = torch.linalg.eigh(matrix)
    return (basis / values.sqrt()) @ basis.T


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [2.0, 2.0, 0.3], [3.0, 1.0, 0.5]], ids=str)
def test_inverse_root_has_a_gradient_at_equal_eigenvalues(values):
    basis, _ = torch.linalg.qr(normal(3, 3))
    matrix = ((basis * torch.tensor(values, dtype=torch.float64)) @ basis.T).requires_grad_()
    made = inverse_root(matrix)
    assert torch.allclose(made @ made @ matrix, torch.eye(3, dtype=torch.float64), atol=1e-12)
    # Only symmetric changes have a meaning.
    assert torch.autograd.gradcheck(lambda m: inverse_root((m + m.T) / 2), (matrix,))


def test_the_gradient_through_an_eigendecomposition_is_the_known_bad_one():
    eye = torch.eye(3, dtype=torch.float64, requires_grad=True)
    weight = normal(3, 3)
    (bad,) = gradient_of((through_eigh(eye) * weight).sum(), eye)
    assert not bad.isfinite().all()
    (good,) = gradient_of((inverse_root(eye) * weight).sum(), eye)
    assert torch.allclose(good, -(weight + weight.T) / 4, atol=1e-14)
    matrix = torch.diag(torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)).requires_grad_()
    ours, theirs = (gradient_of((f(matrix) * weight).sum(), matrix)[0] for f in (inverse_root, through_eigh))
    assert torch.allclose(ours, (theirs + theirs.T) / 2, atol=1e-12)


def test_whitened_tables_are_white_and_their_gradients_right():
    x = leaf(N, D, seed=0)
    eye = torch.eye(D, dtype=torch.float64)
    assert torch.allclose(covariance(zca(x, 0.0)), eye, atol=1e-12)
    assert torch.allclose(cholesky_whitened(x).T.cov(), eye, atol=1e-12)
    assert not torch.allclose(zca(x, 0.0), cholesky_whitened(x), atol=0.1)
    for function in (lambda t: zca(t, 1e-3), lambda t: cholesky_whitened(t, 0.1)):
        assert torch.autograd.gradcheck(function, (x,))
    # White already, so that all eigenvalues are equal.
    again = zca(x.detach(), 0.0).requires_grad_()
    assert torch.allclose(zca(again, 0.0), again, atol=1e-12)
    assert torch.autograd.gradcheck(lambda t: zca(t, 0.0), (again,))


@pytest.mark.parametrize(
    "table", [torch.zeros(4, 6), torch.ones(1, 6), normal(3, 6).float()], ids=["zero", "one", "few"]
)
def test_fewer_rows_than_dimensions_stay_finite(table):
    table.requires_grad_()
    white = zca(table)
    assert white.isfinite().all()
    assert gradient_of(white.square().sum() + white.sum(), table)[0].isfinite().all()


def test_whitening_refuses_a_second_derivative():
    x = leaf(N, D, seed=0)
    with pytest.raises(UsageError, match="differentiated once"):
        torch.autograd.grad(zca(x).square().sum(), x, create_graph=True)


def test_w_mse_knows_no_linear_map_of_a_view_that_keeps_directions():
    x = normal(20, D)
    lower = torch.tensor([[2.0, 0, 0], [0.5, 1, 0], [-1, 0.3, 4]], dtype=torch.float64)
    assert nf.contrast(nf.w_mse(), x, x @ lower.T + 7).item() == pytest.approx(0, abs=1e-12)
    turned, _ = torch.linalg.qr(normal(D, D, seed=1))
    assert nf.contrast(nf.w_mse(), x, x @ turned).item() > 0.05
    assert nf.contrast(nf.w_mse(), x, -x).item() == pytest.approx(4)


def white_rows(vectors, **options):
    return nf.ShuffledGroupWhitening(**options)(nf.rows(vectors)).vectors


def test_groups_are_whitened_and_channels_come_back_to_their_places():
    x = normal(12, 6)
    assert torch.allclose(white_rows(x, groups=1), zca(x), atol=1e-9)
    assert torch.allclose(white_rows(x, groups=6, seed=3), standardise(x, epsilon=1e-5), atol=1e-9)
    halves = nf.ShuffledGroupWhitening(2, seed=3)
    first = halves.order(6)[:3]
    assert torch.allclose(halves(nf.rows(x)).vectors[:, first], zca(x[:, first]), atol=1e-12)
    assert not torch.allclose(halves(nf.rows(x)).vectors[:, :3], zca(x[:, :3]), atol=0.01)


def test_shuffles_belong_to_seed_step_and_side_and_the_step_moves_in_update_only():
    x = nf.rows(normal(12, 8))
    head, twin, other = (nf.ShuffledGroupWhitening(4, seed=s, side=1) for s in (0, 0, 1))
    torch.manual_seed(1)
    before = head(x).vectors
    torch.manual_seed(2)
    assert torch.equal(head(x).vectors, before)
    assert torch.equal(twin(x).vectors, before)
    assert not torch.equal(other(x).vectors, before)
    assert not torch.equal(nf.ShuffledGroupWhitening(4, side=2)(x).vectors, before)
    head.update(x)
    after = head(x).vectors
    assert not torch.equal(after, before)
    twin.load_state_dict(head.state_dict())
    assert torch.equal(twin(x).vectors, after)
    assert sorted(head.order(8).tolist()) == list(range(8))


def test_groups_are_chosen_to_fit_the_batch():
    x = normal(8, 12)
    head = nf.ShuffledGroupWhitening(seed=1)
    order = head.order(12)
    assert torch.allclose(head(nf.rows(x)).vectors[:, order[:4]], zca(x[:, order[:4]]), atol=1e-12)  # 3 groups of 4
    assert white_rows(normal(2, 5)).isfinite().all()
    with pytest.raises(UsageError, match="5 channels do not divide into 2"):
        white_rows(normal(9, 5), groups=2)


def test_positives_of_one_vector_are_several_and_the_loss_is_their_mean():
    x, y = normal(12, 8), normal(12, 8, seed=1)
    both = nf.shuffled_group_whitening(nf.info_nce, nf.paired(), 4)
    single = [nf.contrast(term, x, y).item() for term in both.terms.values()]
    assert single[0] != pytest.approx(single[1], abs=1e-6)
    assert nf.contrast(both, x, y).item() == pytest.approx(sum(single) / 2)
    linear = torch.nn.Linear(8, 3).double()
    projected = nf.shuffled_group_whitening(nf.info_nce, nf.paired(), 4, projector=linear)
    nf.contrast(projected, x, y).backward()
    assert float(linear.weight.grad.abs().max()) > 0


# Codes and targets


@given(st.integers(0, 1000), st.integers(2, 6))
def test_collapsed_vectors_have_uniform_codes_and_cost_at_least_log_k(seed, k):
    x = torch.ones(5, D, dtype=torch.float64)
    loss = nf.contrast(nf.swapped_prediction(normal(k, D, seed=seed)), x, x).item()
    assert loss >= math.log(k) - 1e-9
    near = nf.contrast(nf.swapped_prediction(1e-3 * torch.ones(k, D)), x.float(), x.float()).item()
    assert near == pytest.approx(math.log(k), abs=1e-5)


def test_views_on_their_own_prototypes_cost_little():
    eye = torch.eye(4)
    apart = nf.contrast(nf.swapped_prediction(eye), eye, eye).item()
    assert apart < 0.01
    assert nf.contrast(nf.swapped_prediction(eye), eye, eye.flip(0)).item() > 5


def test_prototypes_are_a_tensor_or_a_stream_and_codes_have_no_gradient():
    x, y, prototypes = leaf(N, D, seed=0), leaf(N, D, seed=1), leaf(4, D, seed=2)
    by_tensor = gradient_of(nf.contrast(nf.swapped_prediction(prototypes), x, y), x, y, prototypes)
    table = nf.rows(prototypes, replicated=True)
    by_stream = nf.contrast(nf.swapped_prediction(), x, y, streams={"prototypes": table})
    by_stream = gradient_of(by_stream, x, y, prototypes)
    assert all(torch.equal(a, b) for a, b in zip(by_tensor, by_stream, strict=True))
    learned = nf.prototypes(4, D)
    loss = nf.contrast(nf.swapped_prediction(), x.float(), y.float(), streams={"prototypes": learned.rows()})
    loss.backward()
    assert float(learned.vectors.grad.abs().max()) > 0
    small = nf.swapped_prediction(prototypes, assigning=("y",), predicting=("x",))
    of_x, of_y = torch.autograd.grad(nf.contrast(small, x, y), (x, y), allow_unused=True)
    assert float(of_x.abs().max()) > 0
    assert of_y is None or float(of_y.abs().max()) == 0


def test_prototypes_of_its_own_are_fixed_at_first_then_learned_and_part_of_its_state():
    x, y = normal(N, D).float(), normal(N, D, seed=1).float()
    term = nf.swapped_prediction(4, dimension=D, fixed=2, seed=3)
    (own,) = term.state
    given = nf.contrast(nf.swapped_prediction(own.vectors.detach()), x, y)
    for step in range(4):
        own.vectors.grad = None
        loss = nf.contrast(term, x.clone().requires_grad_(), y)
        assert loss.item() == pytest.approx(given.item(), abs=1e-6)
        loss.backward()
        assert (own.vectors.grad is not None) == (step >= 2)
        nf.update_state(nf.Objective({"": term}), {"x": nf.rows(x), "y": nf.rows(y)})
    assert int(own.state_dict()["steps"]) == 4
    (other,) = nf.swapped_prediction(4, dimension=D, seed=4).state
    assert not torch.allclose(own.vectors, other.vectors)
    assert torch.allclose(own.vectors.norm(dim=1), torch.ones(4))


def test_past_vectors_balance_and_an_empty_queue_changes_nothing():
    x, y, prototypes = normal(N, D), normal(N, D, seed=1), normal(4, D, seed=2)
    memory = nf.queue(20)
    with_memory = nf.swapped_prediction(prototypes, past={"x": memory.rows})
    alone = nf.contrast(nf.swapped_prediction(prototypes), x, y).item()
    assert nf.contrast(with_memory, x, y).item() == alone
    memory.update(nf.rows(normal(20, D, seed=3)))
    assert nf.contrast(with_memory, x, y).item() != pytest.approx(alone, abs=1e-4)


def test_a_target_has_no_gradient():
    x, target = leaf(N, D, seed=0), leaf(N, D, seed=1)
    objective = nf.byol((("x", "y"),))
    of_x, of_target = torch.autograd.grad(nf.contrast(objective, x, target), (x, target), allow_unused=True)
    assert float(of_x.abs().max()) > 0
    assert of_target is None or float(of_target.abs().max()) == 0
    two_sided = gradient_of(nf.contrast(nf.alignment(), x, target), x, target)
    assert torch.allclose(two_sided[0], of_x, atol=1e-12)
    assert float(two_sided[1].abs().max()) > 0


def test_slap_is_four_terms():
    """SLAP (arXiv 2506.17815): audio and text each predict their own and the other's momentum target."""
    audio, text = leaf(N, D, seed=0), leaf(N, D, seed=1)
    targets = {"audio": leaf(N, D, seed=2).detach(), "text": leaf(N, D, seed=3).detach()}
    streams = {"audio": nf.rows(audio), "text": nf.rows(text)}
    streams |= {f"{name}_target": nf.rows(t) for name, t in targets.items()}
    cross = nf.byol((("audio", "text_target"), ("text", "audio_target"))).terms
    own = nf.byol((("audio", "audio_target"), ("text", "text_target"))).terms
    share = 0.3
    weights = dict.fromkeys(cross, share) | dict.fromkeys(own, 1 - share)
    slap = nf.Objective({**cross, **own}, weights)

    def run(tile):
        return nf.contrast(slap, streams["audio"], streams["text"], streams=streams, tile=tile)

    def distance(online, target):
        q, z = unit(online), unit(target)
        return mean([2 - 2 * sum(q[i, k] * z[i, k] for k in range(D)) for i in range(N)])

    def loops(share):
        crossed = distance(audio, targets["text"]) + distance(text, targets["audio"])
        return share * crossed + (1 - share) * (distance(audio, targets["audio"]) + distance(text, targets["text"]))

    check(run, lambda: loops(share), lambda: loops(1 - share), [audio, text])


# All of them

TWO_TABLES = {
    "alignment": nf.alignment(1.5),
    "uniformity": nf.uniformity(),
    "barlow": nf.barlow(),
    "vicreg": nf.vicreg(),
    "w_mse": nf.w_mse(),
    "swapped_prediction": nf.swapped_prediction(normal(4, D, seed=7).float()),
    "byol": nf.byol((("x", "y"),)),
    "shuffled_group_whitening": nf.shuffled_group_whitening(nf.info_nce, nf.paired(), 3),
}


@pytest.mark.parametrize("name", TWO_TABLES)
@pytest.mark.parametrize("scale", [1e-4, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_at_any_scale(name, scale, dtype):
    x, y = ((scale * normal(N, D, seed=s)).to(dtype).requires_grad_() for s in (0, 1))
    loss = nf.contrast(TWO_TABLES[name], x, y)
    gradients = torch.autograd.grad(loss, (x, y), allow_unused=True)
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in gradients if g is not None)


@pytest.mark.parametrize("name", ["barlow", "vicreg", "w_mse", "swapped_prediction"])
def test_tables_that_do_not_lie_side_by_side_are_refused(name):
    x = normal(N, D).float()
    with pytest.raises(UsageError, match="row i of each table"):
        nf.contrast(TWO_TABLES[name], x, x[:-1])
    with pytest.raises(UsageError, match="row i of each table"):
        nf.contrast(TWO_TABLES[name], nf.rows(x, record=range(N)), nf.rows(x, record=range(1, N + 1)))
    with pytest.raises(UsageError, match="one vector a row"):
        nf.contrast(TWO_TABLES[name], x[None].repeat(N, 1, 1), x[None].repeat(N, 1, 1))


WRONG = {
    "positive power": lambda: nf.alignment(0),
    "positive t": lambda: nf.uniformity(0),
    "choose a positive t": lambda: nf.decoupled_uniformity(-1),
    "positive numbers": lambda: nf.kernel_uniformity(sigma=0),
    "not both": lambda: nf.kernel_uniformity(sigma=1, kernel=gaussian),
    "w_mse compares views": lambda: nf.w_mse(streams=("x",)),
    "no positive": lambda: nf.shuffled_group_whitening(nf.info_nce, nf.paired(), positives=()),
    "nothing to swap": lambda: nf.swapped_prediction(assigning=("x",)),
    "no dimension": lambda: nf.swapped_prediction(4),
    "0 prototypes": lambda: nf.swapped_prediction(0, dimension=4),
    "fixed for -1": lambda: nf.swapped_prediction(3, dimension=4, fixed=-1),
    "epsilon=0": lambda: nf.swapped_prediction(epsilon=0),
    "assign nothing": lambda: nf.swapped_prediction(past={"z": lambda: None}),
    "no pair of an online": lambda: nf.byol(()),
    "compares row by row": lambda: nf.contrast(nf.alignment(), normal(4, 3), normal(4, 2)),
    "no record has two rows": lambda: nf.contrast(nf.decoupled_uniformity(), normal(4, 3)),
    "pool first": lambda: nf.contrast(nf.decoupled_uniformity(), normal(4, 3, 2)),
    "no column 'prior'": lambda: nf.contrast(nf.kernel_uniformity(), two_views(normal(4, 3), normal(4, 3))),
    "not positive definite": lambda: smoothing(-torch.eye(2), 0.1),
    "statistics over rows need 2": lambda: nf.contrast(nf.barlow(), normal(1, 3), normal(1, 3)),
    "cannot be whitened": lambda: nf.contrast(nf.w_mse(), normal(3, 5), normal(3, 5)),
    "is no record of this batch": lambda: nf.contrast(
        nf.mixed_barlow(),
        normal(3, 2),
        normal(3, 2),
        streams={"mixed": nf.rows(normal(3, 2), share=[0.5] * 3, partner=[0, 1, 9])},
    ),
    "no column 'share'": lambda: nf.contrast(
        nf.mixed_barlow(), normal(3, 2), normal(3, 2), streams={"mixed": nf.rows(normal(3, 2), partner=[0, 1, 2])}
    ),
    "predictions have shape": lambda: nf.contrast(nf.byol((("x", "y"),)), normal(3, 2), normal(3, 4)),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_use_is_an_error_with_a_remedy(message):
    with pytest.raises(UsageError) as caught:
        WRONG[message]()
    assert message in str(caught.value)
    assert caught.value.remedy
