"""What a step of training looks like from outside: a few cheap figures that tell a healthy run from a sick one.

    of each stream       mean_cosine, effective_rank, directions (that hold 99 % of the variance), zero_rows, non_finite, ...
    of each term         candidates, chance and floor of its loss, found_first, lower_half, false_negatives, temperature, ...
    of two streams       pair_cosine; gap, the squared distance of their mean unit vectors, where they are compared by score
    of each memory       queue_fill, queue_mark, queue_gap, queue_same
    of each tower        gradient_norm, parameter_norm, update_ratio (`tower_norms`, called around the optimiser's step)

Chance level is not ln N for every rule. It is the least loss that scores which tell no pair from another can reach: the rule is
asked, on the very pairs of the step, what equal scores cost (`chance_level`); for InfoNCE that is the log of the number of
candidates, for a triplet loss its margin, for the sigmoid loss about ln N + 1. `floor` is the loss of perfect unit vectors, positives at
cosine 1 and negatives as far as a simplex allows: what is between the two is all that a temperature leaves to learn.

Measuring changes nothing: no gradient, no state, no draw of the training's generator, no batch norm in training mode.
`doctor` reads these figures.
Source: effective rank, the exponential of the entropy of the eigenvalues of the covariance: Roy and Vetterli 2007 (on singular
values there), as RankMe by Garrido et al. 2022 (arXiv 2210.02885); centred here, because a common mean tells no records apart.
The gap between modalities: Liang et al. 2022 (arXiv 2203.02053).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from nearfar.core.block import Block, present
from nearfar.core.card import Card
from nearfar.core.memory import Store
from nearfar.core.rows import Rows
from nearfar.core.rule import Rule, applies, card_of
from nearfar.core.terms import Terms
from nearfar.core.tile import Tile
from nearfar.maths.similarity import unit
from nearfar.maths.spectra import covariance_spectrum, directions, entropy_rank
from nearfar.objectives.composed import Aligned, Objective, OnRows, stream
from nearfar.objectives.scored import Scored, now

CARD = Card(
    name="vital_signs",
    summary="cheap figures of a step - chance level, ranks, geometry, memories, norms - that show whether training is well",
    related=("doctor", "pair_counts", "similarity_histogram"),
    public=("vital_signs", "chance_level", "tower_norms"),
)

SAMPLE = 512  # rows whose geometry is measured
SPECTRUM = 192  # rows behind the spectrum: its cost grows with the cube
SCORES = 2**17  # scores of a term that are looked at: 128 queries against 1,024 keys
LEVEL = 2**14  # pairs by which the chance level is found
SURE = 0.999  # a softmax that gives so much to one key passes hardly any gradient on
EQUAL, NEAR = 1e-4, 0.05  # of the mean distance between keys: what may be the same key, and what is a near copy
_TRIED, _ROUNDS = 13, 3  # constants that are tried for the chance level, each time around the best so far


@torch.no_grad()
def vital_signs(
    rows: Mapping[str, Rows],
    objective: Objective | Scored,
    terms: Terms | None = None,
    *,
    norms: Mapping[str, float] | None = None,
    sample: int = SAMPLE,
) -> dict[str, float]:
    """Figures of one step, flat and ready for JSON: names like "mean_cosine/x" (a stream) or "chance/TERM" ("chance" if unnamed).

    rows       the step's tables by stream, as they came from the encoders (`nf.backward(...).rows`)
    objective  what was optimised; call this before `nf.update_state`, or its memories hold the batch already
    terms      the step's terms (`nf.backward` returns them): their weights, and the loss of the scored ones as `scored_loss`
    norms      further figures to put beside them, such as those of `tower_norms`
    sample     rows looked at; 512 cost a few milliseconds

    A figure that cannot be had is left out: the terms of a head that is no module (calling it might change something), the
    chance level of rules that read more than scores, whatever is no finite number.

    >>> import torch, nearfar as nf
    >>> x = nf.rows(torch.ones(8, 4))                                         # collapsed
    >>> signs = nf.vital_signs({"x": x, "y": x}, nf.Scored(nf.info_nce, nf.paired(), temperature=0.1))
    >>> signs["mean_cosine/x"], signs["effective_rank/x"], signs["chance"], signs["found_first"]     # ln 8, one in eight
    (1.0, 0.0, 2.07944, 0.125)
    """
    whole = objective if isinstance(objective, Objective) else Objective({"": objective})
    with torch.enable_grad():  # whether a bias is learned is known by its gradient
        whole = whole.at_this_step()
    found: dict[str, float] = {}
    for name, table in rows.items():
        found |= _named(_geometry(table, sample), name)
    with torch.random.fork_rng(devices=[]), _unmoved(whole):
        for name, term in whole.on_rows().items():
            if isinstance(term, Scored):
                found |= _named(_of_term(term, rows), name)
    for (first, second), comparable in _pairs(whole, rows).items():
        figures = _of_pair(rows[first], rows[second], sample)
        if not comparable:
            figures.pop("gap", None)
        found |= _named(figures, f"{first}-{second}")
    for name in _by_coordinates(whole):
        found |= _named(_deviation(rows[name], sample), name)
    found |= _summed(whole, found, terms) | dict(norms or {})
    return {k: v if v == round(v) else float(f"{v:.6g}") for k, v in found.items() if math.isfinite(v)}


def chance_level(rule: Rule, block: Block, low: float = 0.0, high: float = 0.0) -> float | None:
    """The least mean loss of a rule on these pairs when all scores are equal, for scores from `low` to `high`.

    None for rules that read channels, and where the rule applies to no row.

    >>> import torch, nearfar as nf
    >>> block = nf.paired()({"record": torch.arange(64)}, {"record": torch.arange(64)})
    >>> round(chance_level(nf.info_nce, block), 4), round(chance_level(nf.triplet, block), 4)
    (4.1589, 0.2)
    >>> round(chance_level(nf.sigmoid, block, -20.0, 20.0), 2)              # ln 64 + 63 ln(64/63)
    5.15
    """
    card = card_of(rule)
    if card is not None and card.channels:
        return None
    valid = applies(rule, block)
    if not bool(valid.any()):
        return None
    block = Block(_weights(block.pos[valid]), _weights(block.neg[valid]))

    shape, device = block.pos.shape, block.pos.device
    loss = lambda constant: _mean_loss(rule, torch.full(shape, constant, device=device), block)  # noqa: E731

    if card is not None and "shift_invariant" in card.properties:
        return loss(0.0)
    best, width = (low + high) / 2, (high - low) / 2
    for _ in range(_ROUNDS if width else 0):
        tried = [min(max(best + width * (2 * i / (_TRIED - 1) - 1), low), high) for i in range(_TRIED)]
        best, width = min(tried, key=loss), 2 * width / (_TRIED - 1)
    return loss(best)


@torch.no_grad()
def tower_norms(towers: Mapping[str, nn.Module | Iterable[nn.Parameter]]) -> Callable[[], dict[str, float]]:
    """Norms of what the optimiser moves: call it after `backward`, and call what it returns after the optimiser's step.

    "gradient_norm/TOWER", "parameter_norm/TOWER", and "update_ratio/TOWER": how far the step moved the weights, over their
    length, on at most 65,536 of them. Name only towers that learn (no teacher); parts without a learned parameter are left out. Of
    a sharded tower it measures this rank's share.

    >>> import torch, nearfar as nf
    >>> tower = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.ones_(tower.weight)
    >>> tower(torch.ones(1, 2)).sum().backward()
    >>> after = nf.tower_norms({"text": tower})
    >>> torch.optim.SGD(tower.parameters(), lr=0.1).step()
    >>> {name: round(value, 3) for name, value in after().items()}
    {'gradient_norm/text': 1.414, 'parameter_norm/text': 1.414, 'update_ratio/text': 0.1}
    """
    found: dict[str, float] = {}
    before: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    for name, tower in towers.items():
        parameters = tower.parameters() if isinstance(tower, nn.Module) else tower
        learned = [p for p in parameters if p.requires_grad and p.numel()]
        if not learned:
            continue
        found[f"gradient_norm/{name}"] = _norm([_local(p.grad) for p in learned if p.grad is not None])
        found[f"parameter_norm/{name}"] = _norm([_local(p) for p in learned])
        parts = [_local(p) for p in learned]
        stride = max(1, sum(p.numel() for p in parts) // 2**16)
        before[name] = parts, [p.reshape(-1)[::stride].clone() for p in parts]

    @torch.no_grad()
    def after() -> dict[str, float]:
        for name, (parts, old) in before.items():
            stride = max(1, sum(p.numel() for p in parts) // 2**16)
            moved = _norm([p.reshape(-1)[::stride] - o for p, o in zip(parts, old, strict=True)])
            found[f"update_ratio/{name}"] = moved / max(_norm(old), 1e-30)
        return {name: value for name, value in found.items() if math.isfinite(value)}

    return after


def _geometry(table: Rows, sample: int) -> dict[str, float]:
    """Of one stream: are there numbers, do they differ, and in how many directions."""
    every = table.vectors
    if not len(every):
        return {}
    finite = torch.isfinite(every.flatten(1).sum(1))
    found = {"non_finite": 1 - float(finite.float().mean())}
    if every.ndim != 2:
        return found
    chosen = _some(len(every), sample, every.device)
    vectors = every[chosen][finite[chosen]].float()
    found["zero_rows"] = float((vectors == 0).all(1).float().mean()) if len(vectors) else 0.0
    if len(vectors) < 2:
        return found
    points = unit(vectors)
    found["rows"], found["dimension"] = float(len(every)), float(every.shape[1])
    found["mean_cosine"] = _mean_cosine(points)
    # Geometry knows no scale, and the squares of a model that runs away would be infinite.
    vectors = vectors / vectors.abs().amax().clamp_min(torch.finfo(vectors.dtype).tiny)
    values = covariance_spectrum(vectors[:: -(-len(points) // SPECTRUM)])
    found["first_share"] = float(values[0] / values.sum()) if float(values.sum()) > 0 else 1.0
    found["directions"] = float(directions(values))
    found["effective_rank"] = entropy_rank(values)
    return found


def _of_term(term: Scored, rows: Mapping[str, Rows]) -> dict[str, float]:
    """Of one contrastive term: its pairs, where its positives stand, and what its loss could be."""
    given = stream(rows, term.queries_from), stream(rows, term.keys_from or term.queries_from)
    found = _memories(term, given[1])
    temperature, bias = now(term.temperature), now(term.bias)
    found["temperature"] = float(torch.as_tensor(temperature).float().mean())
    if isinstance(bias, Tensor) or bias:
        found["bias"] = float(torch.as_tensor(bias).float().mean())
    heads = [h for h in (term.head, term.key_head) if h is not None]
    if term.relation is None or not all(_module(h) is not None for h in heads):
        return found
    queries, keys = _headed(term, *given)
    single = keys
    keys = keys if term.keys is None else term.keys(queries, keys)
    if not len(queries) or not len(keys):
        return found
    number = _some(len(queries), max(16, SCORES // len(keys)), queries.vectors.device)
    seen = _look(term, queries.take(number), keys, number)
    if seen is None:
        return found
    scores, block = seen
    found |= _standing(scores, block, _tempered(term, scores, number))
    found |= _same_keys(keys, scores, block)
    if _plainly_scored(term):
        blocks = [block]
        if term.both_ways:
            few = single.take(_some(len(single), max(16, LEVEL // len(queries)), number.device))
            blocks.append(term.relation(queries.columns, few.columns).map(lambda m: m.T.contiguous()))
        found |= _levels(term, scores, blocks)
    return found


def _headed(term: Scored, queries: Rows, keys: Rows) -> tuple[Rows, Rows]:
    """Both sides behind the heads of a term."""
    through = queries if term.head is None else term.head(queries)
    if keys is queries and term.key_head is None:
        return through, through
    key_head = term.key_head or term.head
    return through, keys if key_head is None else key_head(keys)


def _look(term: Scored, queries: Rows, keys: Rows, number: Tensor) -> tuple[Tensor, Block] | None:
    """Scores [q k] before temperature and bias, and the block that the rule gets to see."""
    prepare = getattr(term.similarity, "prepare", None) or (lambda vectors: vectors)
    queries, keys = (t.with_vectors(prepare(t.vectors)) for t in (queries, keys))
    made = term.similarity(queries, keys)
    scores = made[0] if isinstance(made, tuple) else made
    if term.relation is None or not bool(torch.isfinite(scores).all()):
        return None
    block = term.relation(queries.columns, keys.columns)
    for edit in term.edits:
        block = edit(Tile(queries, keys, scores, block, number))
    return scores, block


def _standing(scores: Tensor, block: Block, tempered: Tensor) -> dict[str, float]:
    """Where positives stand among the keys that compete with them."""
    pos, neg = present(block.pos), present(block.neg)
    either = pos | neg
    rated = pos.any(1) & neg.any(1)
    found = {
        "candidates": float(either.sum(1).float().mean()),
        "positives": float(pos.sum(1).float().mean()),
        "without_positive": 1 - float(pos.any(1).float().mean()),
        "without_negative": 1 - float(neg.any(1).float().mean()),
    }
    if not bool(rated.any()):
        return found
    if not bool(rated.all()):
        scores, pos, neg, either, tempered = (t[rated] for t in (scores, pos, neg, either, tempered))
    best = scores.masked_fill(~pos, -torch.inf).amax(1, keepdim=True)
    above, level = ((scores > best) & neg).sum(1), ((scores == best) & neg).sum(1)
    share = (above + level / 2) / neg.sum(1)
    surest = tempered.masked_fill(~either, -torch.inf).softmax(1).amax(1)
    return found | {
        "positive_similarity": float((scores * pos).sum() / pos.sum()),
        "negative_similarity": float((scores * neg).sum() / neg.sum()),
        # Among equals chance decides, so a collapsed batch finds one in N.
        "found_first": float(torch.where(above > 0, 0.0, 1 / (level + 1)).mean()),
        "lower_half": float((share > 0.5).float().mean()),
        "saturated": float((surest > SURE).float().mean()),
    }


def _same_keys(keys: Rows, scores: Tensor, block: Block) -> dict[str, float]:
    """Rows with a negative that is the same key as their positive, by its text or its vector; and with a near copy of it."""
    pos, neg = present(block.pos), present(block.neg)
    rated = (pos.any(1) & neg.any(1)).nonzero()[:, 0]
    if not len(rated) or keys.vectors.ndim != 2:
        return {}
    neg = neg[rated]
    place = scores[rated].masked_fill(~pos[rated], -torch.inf).argmax(1)
    same = torch.zeros_like(neg)
    for name in ("query", "document"):
        if name in keys.columns:
            ids = keys.columns[name]
            same |= (ids[place][:, None] == ids[None, :]) & (ids >= 0)
    points = unit(keys.vectors.float())
    apart = (1 - points[place] @ points.T).clamp_min(0)
    typical = float((apart * neg).sum() / neg.sum())
    found = {}
    if typical > 1e-2:  # in a collapsed batch all keys are near one another, which says nothing about any
        same |= _equal(keys.vectors, place, neg & (apart < EQUAL * typical))
        found["near_negatives"] = float((neg & (apart < NEAR * typical)).any(1).float().mean())
    return found | {"false_negatives": float((same & neg).any(1).float().mean())}


def _equal(vectors: Tensor, place: Tensor, maybe: Tensor) -> Tensor:
    """Of the pairs (row i's positive, key j) that may be the same key, those whose vectors are equal but for rounding."""
    row, column = maybe.nonzero()[: SCORES // 8].T
    first, second = vectors[place[row]].float(), vectors[column].float()
    equal = (first - second).norm(dim=1) <= 1e-5 * first.norm(dim=1)
    return torch.zeros_like(maybe).index_put((row, column), equal)


def _levels(term: Scored, scores: Tensor, blocks: list[Block]) -> dict[str, float]:
    """What the loss is when no pair can be told from another, and what it is for perfect unit vectors."""
    temperature, bias = (float(torch.as_tensor(now(v)).float().mean()) for v in (term.temperature, term.bias))
    by_cosine = getattr(term.similarity, "name", "") == "cosine"
    low, high = (-1.0, 1.0) if by_cosine else (float(scores.min()), float(scores.max()))
    low, high = low / temperature + bias, high / temperature + bias
    if isinstance(learned := term.bias, Tensor) and learned.requires_grad:
        # A bias that is learned reaches any level, whatever the similarity allows.
        low, high = min(low, -10 - math.log(scores.shape[1])), max(high, 10.0)
    chance, floor = [], []
    for block in blocks:
        few = block.map(lambda m: m[: max(1, LEVEL // m.shape[1])])
        level = chance_level(term.rule, few, low, high)
        if level is None:
            continue
        chance.append(level)
        if by_cosine:
            valid = applies(term.rule, few)
            pos, neg = _weights(few.pos[valid]), _weights(few.neg[valid])
            others = present(neg).sum(1, keepdim=True).clamp_min(1)
            perfect = torch.where(present(pos), torch.ones((), device=pos.device), -1 / others) / temperature + bias
            floor.append(_mean_loss(term.rule, perfect, Block(pos, neg)))
    if len(chance) != len(blocks):
        return {}
    found = {"chance": sum(chance) / len(chance)}
    return found | ({"floor": sum(floor) / len(floor)} if floor else {})


def _mean_loss(rule: Rule, scores: Tensor, block: Block) -> float:
    made = rule(scores, block)
    loss, count = made if isinstance(made, tuple) else (made, torch.ones_like(made))
    return float(loss.sum() / count.sum()) if bool(count.sum() > 0) else math.nan


def _weights(matrix: Tensor) -> Tensor:
    return matrix if matrix.dtype == torch.bool else matrix.float()


def _plainly_scored(term: Scored) -> bool:
    """Whether the loss is the plain mean of a stateless rule over rows of the shared keys."""
    stateless = not isinstance(getattr(term.rule, "__self__", None), nn.Module) and not isinstance(term.rule, nn.Module)
    return stateless and term.own is None and term.weight is None and (term.row, term.reduce) == ("vector", "mean")


def _tempered(term: Scored, scores: Tensor, number: Tensor) -> Tensor:
    temperature = now(term.temperature)
    if isinstance(temperature, Tensor) and temperature.ndim == 1 and len(temperature) > 1:
        temperature = temperature[number][:, None]
    return scores / temperature


def _memories(term: Scored, fresh: Rows) -> dict[str, float]:
    """Of a term's memory: how full, whether it ever changes, and how far its oldest rows are from today's."""
    found: dict[str, float] = {}
    for part in (term.keys, term.head, term.key_head, term.own):
        module = _module(part)
        for store in (m for m in (module.modules() if module is not None else ()) if isinstance(m, Store)):
            past = store.rows()
            found["queue_fill"] = 0.0 if past is None else len(past) / store.size
            # A number that stays the same only if nothing is written: of the newest row, or a count of steps if there is one.
            steps = getattr(store, "step", None)
            mark = crc32(
                b"" if past is None else past.vectors[-1].cpu().contiguous().view(torch.uint8).numpy().tobytes()
            )
            found["queue_mark"] = float(mark) + (float(steps) if isinstance(steps, Tensor) else 0.0)
            if past is not None and past.vectors.ndim == 2 and past.vectors.shape[1:] == fresh.vectors.shape[1:]:
                found |= _age(past, fresh)
    return found


def _age(past: Rows, fresh: Rows) -> dict[str, float]:
    """The oldest quarter of a memory against the batch."""
    old = past.take(slice(0, min(1024, -(-len(past) // 4))))
    fresh = fresh.take(_some(len(fresh), SAMPLE, fresh.vectors.device))
    if len(old) < 2 or len(fresh) < 2:
        return {}
    first, second = unit(old.vectors.float()), unit(fresh.vectors.float())
    found = {"queue_gap": float((first.mean(0) - second.mean(0)).square().sum())}
    if all("record" in t.columns for t in (old, fresh)):
        same = old.columns["record"][:, None] == fresh.columns["record"][None, :]
        if int(same.sum()) >= 8:
            row, column = same.nonzero().T
            found["queue_same"] = float((first[row] * second[column]).sum(1).mean())
            found["queue_other"] = float(first.mean(0) @ second.mean(0))
    return found


def _of_pair(first: Rows, second: Rows, sample: int) -> dict[str, float]:
    """Of two streams of the same records: how near partners are, and how far the streams lie apart."""
    if first.vectors.ndim != 2 or first.vectors.shape[1:] != second.vectors.shape[1:]:
        return {}
    shared = min(len(first), len(second))
    chosen = _some(shared, sample, first.vectors.device)
    one, other = first.take(chosen), second.take(chosen)
    a, b = unit(one.vectors.float()), unit(other.vectors.float())
    if len(chosen) < 2:
        return {}
    found = {"gap": float((a.mean(0) - b.mean(0)).square().sum())}
    records = [t.columns.get("record") for t in (one, other)]
    if records[0] is not None and records[1] is not None and torch.equal(records[0], records[1]):
        found["pair_cosine"] = float((a * b).sum(1).mean())
    return found


def _deviation(table: Rows, sample: int) -> dict[str, float]:
    """The root of the mean variance of a coordinate: what objectives on coordinates, not angles, must keep alive."""
    if table.vectors.ndim != 2 or len(table) < 2:
        return {}
    return {
        "deviation": float(table.vectors[_some(len(table), sample, table.vectors.device)].float().var(0).mean().sqrt())
    }


def _pairs(objective: Objective, rows: Mapping[str, Rows]) -> dict[tuple[str, str], bool]:
    """Streams that a term compares, each two once, and whether it scores them as they are (no predictor or head between)."""
    found: dict[tuple[str, str], bool] = {}
    for term in objective.on_rows().values():
        names = term.streams if isinstance(term, OnRows) else (term.queries_from, term.keys_from or term.queries_from)
        if len(names) == 2 and names[0] != names[1] and all(n in rows for n in names):
            plain = isinstance(term, Scored) and term.head is None and term.key_head is None
            found[(names[0], names[1])] = found.get((names[0], names[1]), False) or plain
    return found


def _by_coordinates(objective: Objective) -> list[str]:
    """Streams that no term compares by angle or score: Barlow, VICReg, whitening."""
    terms = objective.on_rows().values()
    compared = {n for t in terms if isinstance(t, (Scored, Aligned)) for n in (t.queries_from, t.keys_from)}
    return sorted({n for t in terms if isinstance(t, OnRows) for n in t.streams} - compared)


def _summed(objective: Objective, found: Mapping[str, float], terms: Terms | None) -> dict[str, float]:
    """Chance level, floor and loss of all scored terms together, as the loss weighs them."""
    names = [n for n, t in objective.on_rows().items() if isinstance(t, Scored)]
    if not names or (terms is None and len(names) < len(objective.terms)):
        return {}
    sums = {"scored_chance": 0.0, "scored_floor": 0.0, "scored_loss": 0.0}
    for name in names:
        mine = [t for k, t in terms.parts.items() if _belongs(k, name)] if terms is not None else []
        weight = sum(t.weight for t in mine) if mine else objective.weight(name, 0)
        for level in ("chance", "floor"):
            sums[f"scored_{level}"] += weight * found.get(f"{level}/{name}" if name else level, math.nan)
        sums["scored_loss"] += sum(t.weight * float(t.value) for t in mine) if mine else math.nan
    return sums


def _belongs(part: str, name: str) -> bool:
    return part == name or part.startswith(f"{name}/") or (not name and part in ("forward", "backward"))


def _mean_cosine(points: Tensor) -> float:
    """Mean cosine of two different rows; points [n d] of length one (or zero)."""
    total = points.sum(0).double().square().sum() - points.norm(dim=1).double().square().sum()
    return float(total / (len(points) * (len(points) - 1)))


def _some(total: int, most: int, device: torch.device) -> Tensor:
    """At most `most` of `total` places, evenly spread: the same ones every time."""
    if total <= most:
        return torch.arange(total, device=device)
    return (torch.arange(most, device=device) * total) // most


def _named(figures: Mapping[str, float], name: str) -> dict[str, float]:
    return {f"{k}/{name}" if name else k: v for k, v in figures.items()}


def _module(part: Any) -> nn.Module | None:
    """The module behind a stage: itself, or whose method it is."""
    owner = part if isinstance(part, nn.Module) else getattr(part, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


@contextmanager
def _unmoved(objective: Objective) -> Iterator[None]:
    """Modules of the terms as in use, so that no batch norm counts what is only looked at."""
    scored = [t for t in objective.on_rows().values() if isinstance(t, Scored)]
    parts = [_module(p) for t in scored for p in (t.head, t.key_head, t.keys)]
    modules = {m: m.training for p in parts if p is not None for m in p.modules()}
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in modules.items():
            module.training = training


def _norm(tensors: list[Tensor]) -> float:
    """The length of all together."""
    return float(torch.stack([t.norm(dtype=torch.float32) for t in tensors]).norm()) if tensors else 0.0


def _local(tensor: Tensor) -> Tensor:
    """The share of this rank of a sharded tensor, the values of a sparse one."""
    share = getattr(tensor, "to_local", None)
    tensor = (tensor if share is None else share()).detach()
    return tensor.coalesce().values() if tensor.is_sparse else tensor
