"""The checks of the doctor, each a few conditions that must all be past their limit, and the limits with their reasons.

A check yields readings: how far past its limit it is (1 is the limit; with several conditions, the nearest of them), and what it would
say. `EXPLAINS` says which finding is the reason of which other ones, so that one cause gives one message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Literal

from nearfar.core.parts import parts, resolve
from nearfar.probes.doctor_history import FEWEST, Seen

LIMITS = {
    # Of a vector's squared length a hundredth tells records apart: by eye all cosines are 1. Untrained transformers reach 0.98.
    "collapse": 0.01,
    # An objective on coordinates (VICReg) is shift-invariant, so only a deviation that shrinks a hundredfold is a collapse.
    "shrunk": 0.01,
    # Where three directions hold 99 % of the variance, vectors lie on a ball in ordinary space at best: 64 points on a circle have
    # neighbours whose cosines differ by 0.005, below every temperature in use. Healthy runs need ten or more.
    "directions": 4,
    # The loss is within three hundredths of chance, of the way from chance to perfect if that is shorter.
    "chance": 0.03,
    # Perfect vectors would lower the loss by less than a tenth. InfoNCE at temperature 0.5 leaves 18 % with 65,536 keys.
    "headroom": 0.1,
    # Logits above 100 (Radford et al.) and nine rows of ten whose softmax is one key, right or wrong; or logits twice as high.
    "temperature": 0.01,
    "saturated": 0.9,
    "least_temperature": 0.005,
    # Each such row asks for the impossible: two equal keys, one right, one wrong; it pays ln 2 at least.
    "false_negatives": 0.05,
    # A stale copy of a record is half as far as a stranger, and twice as far as its fresh positive.
    "stale": 0.5,
    # Old and fresh keys: a third of the spread of both together lies between them, so that one can tell which is which.
    "queue_gap": 1 / 3,
    # Adam hides such ratios, plain gradient descent does not; healthy towers of very different make stay within a hundred.
    "imbalance": 1e-4,
    # Half of what was learned is lost again; or the loss rose by a fifth of its chance level (or its first value) in all.
    "lost": 0.5,
    "risen": 0.2,
    # A step further than the weights are long leaves nothing of what was there; 0.001 to 0.01 is usual, 0.1 a bold first step.
    "thrown": 1.0,
    # The weights cannot have moved by more than a fiftieth of their length in the whole run, and the loss fell by less than a tenth.
    "path": 0.02,
    "fall": 0.1,
    # Strangers of one stream are nearer to one another than partners across streams, by more than a tenth of the cosine.
    "gap": 0.1,
    # Held-out figures (means of three in a row) a tenth worse than at their best beyond their noise, while the training loss fell.
    "overfitting": 0.1,
    # A positive drawn at random lies in the lower half every second time: one in twenty there means one in ten is no positive.
    "lower_half": 0.05,
    "without_positive": 0.5,
    "zero_rows": 0.05,
}

GROUPS = 16  # fewer things to tell apart need no dimensions and have no ranks


@dataclass(frozen=True)
class Reading:
    """How far a check is past its limit, and what it would say."""

    excess: float
    what: str
    cause: str
    remedy: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    start: int | None = None


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong with a stage."""

    name: str
    severity: Literal["error", "warning", "note"]
    look: Callable[[Seen], Iterator[Reading]]


def _ratio(value: float, limit: float) -> float:
    """How far a value is above a limit."""
    return value / limit


def _below(value: float, limit: float) -> float:
    """How far a value is below a limit."""
    return limit / max(value, 1e-12)


def _not_a_number(seen: Seen) -> Iterator[Reading]:
    bad = [s for s in seen.subjects("non_finite") if (seen.history.signs[-1].get(f"non_finite/{s}") or 0) > 0]
    if seen.history.bad is None and not bad:
        return
    what = (
        f"the loss is not a number since step {seen.history.bad}"
        if seen.history.bad
        else f"vectors of {', '.join(bad)} are not numbers"
    )
    yield Reading(
        math.inf,
        what,
        "the learning rate is so high that the weights ran away, or the data holds NaN or huge values",
        seen.settings.times("learning_rate", 0.1, "0.0005"),
        start=seen.history.bad,
    )


def _collapse(seen: Seen) -> Iterator[Reading]:
    if seen.discriminates():
        return
    for name in seen.subjects("mean_cosine"):
        if (now := seen.least("deviation", name)) is not None:
            began = seen.history.deviation[f"deviation/{name}"]
            excess = _below(now / max(began, 1e-30), LIMITS["shrunk"])
            what = f"all vectors of {name!r} are nearly one point: their deviation fell from {began:.2g} to {now:.2g}"
            remedy, figure = "raise the weight of the term that keeps vectors apart (vicreg: variance)", "deviation"
        elif (now := seen.least("mean_cosine", name)) is not None:
            # Many encoders start in a narrow cone, or pass through one (BYOL): while it is early the limit is a hundred times as strict,
            # and a cone that is only just too narrow, and widens, is on its way out.
            excess = _below(1 - now, LIMITS["collapse"]) * (1 if seen.mature else 0.01)
            before, last = seen.last("mean_cosine", name)
            excess = 0.0 if 1 - last > 1.2 * (1 - before) and excess < 10 else excess
            what = f"all vectors of {name!r} are nearly the same: the mean cosine of two different records is {now:.4f}"
            remedy, figure = seen.settings.times("learning_rate", 0.1, "0.0005"), "mean_cosine"
        else:
            continue
        cause = "nothing in the objective keeps them apart (no negatives, or a teacher without stop-gradient), or the rate was too high"
        yield Reading(excess, what, cause, remedy, {f"{figure}/{name}": now})


def _few_dimensions(seen: Seen) -> Iterator[Reading]:
    if not seen.mature or seen.discriminates():
        return
    for name in seen.subjects("directions"):
        held, size, rank = (
            seen.most("directions", name),
            seen.least("dimension", name),
            seen.most("effective_rank", name),
        )
        if held is None or size is None or size < GROUPS or seen.groups < GROUPS:
            continue
        yield Reading(
            _below(held, LIMITS["directions"]),
            f"of {size:.0f} dimensions of {name!r} {held:.0f} hold 99 % of the variance",
            "a bottleneck in the encoder, dead units, views that share too little, or no term that keeps dimensions apart",
            "look for a narrow layer; with scores lower the temperature: --set objective.temperature=0.05; with vicreg raise covariance",
            {"directions": held, "dimension": size, "effective_rank": math.nan if rank is None else rank},
        )


def _level_of_rule(seen: Seen) -> float | None:
    """Chance level by the configured rule and the number of keys, for runs that did not measure it."""
    objective, keys = seen.settings.objective, int(seen.history.keys)
    rule = objective.get("rule")
    rule, options = (rule.get("part"), rule.get("options")) if isinstance(rule, Mapping) else (rule, None)
    temperature, bias = objective.get("temperature", 1.0), objective.get("bias", 0.0)
    numbers = isinstance(temperature, (int, float)) and isinstance(bias, (int, float))
    if not isinstance(rule, str) or not numbers or keys < 2:
        return None
    if not [part for part in parts("objectives") if part.name == rule]:
        return None  # a function of the user's own file
    import torch

    from nearfar.core.block import Block
    from nearfar.core.rule import card_of
    from nearfar.probes.vital_signs import chance_level

    function = resolve(rule, "objectives")
    if card_of(function) is None:
        return None
    function = partial(function, **options) if isinstance(options, Mapping) else function
    low, high = bias - 1 / temperature, bias + 1 / temperature
    if objective.get("learn_bias"):
        low, high = min(low, -10 - math.log(keys)), max(high, 10.0)
    pos = torch.arange(keys)[None] == 0
    return chance_level(function, Block(pos, ~pos), low, high)


def _chance_level(seen: Seen) -> Iterator[Reading]:
    end, level = seen.scored_end(), seen.history.level
    if not seen.mature or end is None:
        return
    if level is None:
        level = _level_of_rule(seen)
        if level is None:
            return
        end = end[0] - level, end[1], end[2]
    floor = seen.most("scored_floor")
    scale = min(s for s in (abs(level), math.inf if floor is None else level - floor, math.inf) if s > 0)
    if not math.isfinite(scale):
        return
    # The noise of so few steps must not look like progress.
    progress = (-end[0] - 2 * end[2]) / scale
    candidates = max((v for t in seen.subjects("candidates") if (v := seen.least("candidates", t))), default=0.0)
    # Thrice what guessing finds, and one in ten: beyond, pairs are told apart, and a loss near chance has other reasons.
    luck = max(3 / candidates, 0.1) if candidates else 1.0
    yield Reading(
        min(_below(progress, LIMITS["chance"]), _below(seen.found(), luck) if candidates else math.inf),
        f"the loss is at chance level: {level + end[0]:.4g}, where {level:.4g} means that no pair is told from another",
        "the pairs may not belong together, the two sides may not see what they share, or the training is too short or too slow",
        f"look at ten pairs by eye; then {seen.settings.times('epochs', 3, '10')} or {seen.settings.times('learning_rate', 3, '0.01')}",
        {"loss": level + end[0], "chance": level, "found_first": seen.found()},
        end[1],
    )


def _temperature_high(seen: Seen) -> Iterator[Reading]:
    for name in seen.subjects("floor"):
        floor, level, at = (seen.most(f, name) for f in ("floor", "chance", "temperature"))
        if floor is None or level is None or at is None or level <= 0:
            continue
        headroom = max(0.0, (level - floor) / level)
        yield Reading(
            _below(headroom, LIMITS["headroom"]),
            f"the temperature is too high: at {at:.3g} even perfect vectors bring the loss from {level:.4g} to {floor:.4g} only",
            "cosines lie between -1 and 1; divided by such a temperature they are all alike"
            + (
                " (or a bias that was never set: -log of the number of keys)"
                if seen.settings.objective.get("rule") == "sigmoid"
                else ""
            ),
            "--set objective.temperature=0.05",
            {"temperature": at, "chance": level, "floor": floor},
        )


def _temperature_low(seen: Seen) -> Iterator[Reading]:
    for name in seen.subjects("saturated"):
        at, saturated = seen.most("temperature", name), seen.least("saturated", name)
        if at is None or saturated is None or seen.least("floor", name) is None:
            continue
        began = seen.history.temperature or at
        learned = began > 2 * at
        yield Reading(
            max(
                min(_below(at, LIMITS["temperature"]), _ratio(saturated, LIMITS["saturated"])),
                _below(at, LIMITS["least_temperature"]),
            ),
            f"the temperature {f'ran from {began:.3g} down to' if learned else 'is'} {at:.3g}: "
            f"logits reach {1 / at:.0f}, and in {saturated:.0%} of the rows the softmax is one key",
            "the softmax is hard: a row learns from its nearest negative alone, or, once that is beaten by a hair, from none",
            "--set objective.temperature=0.05" + (" --set objective.learn_temperature=false" if learned else ""),
            {"temperature": at, "saturated": saturated},
        )


def _false_negatives(seen: Seen) -> Iterator[Reading]:
    for name in seen.subjects("false_negatives"):
        share = seen.half("false_negatives", name)
        if share is None:
            continue
        yield Reading(
            _ratio(share, LIMITS["false_negatives"]),
            f"{share:.0%} of the queries have a negative that is the same as their positive",
            "the data holds duplicates (equal texts, or equal vectors), and a batch takes them for wrong answers",
            "remove duplicates from the data"
            if seen.settings.objective.get("same_text") == "left_out"
            else "--set objective.same_text=left_out, or remove duplicates from the data",
            {"false_negatives": share},
        )


def _dead_queue(seen: Seen) -> Iterator[Reading]:
    for name in seen.subjects("queue_mark"):
        marks = seen.last("queue_mark", name)
        if not marks or marks[0] != marks[-1]:
            continue
        fill = seen.most("queue_fill", name) or 0.0
        steps = int(seen.history.signs[-1]["step"] - seen.history.signs[-2]["step"])
        yield Reading(
            math.inf,
            f"the queue did not change in {steps} steps; it is {fill:.0%} full",
            "nobody calls its update after the optimiser's step",
            "in a loop of yours: nf.update_state(objective, step.rows) once a step",
            {"queue_fill": fill},
        )


def _stale_queue(seen: Seen) -> Iterator[Reading]:
    if not seen.mature:
        return
    cause = "keys change faster than they leave: the encoder of the keys is no slow teacher, the rate is high, or the queue is long"
    slow = "let the keys come from a momentum teacher (through momentum), or make the queue shorter"
    for name in seen.subjects("queue_gap"):
        gap, inner = seen.half("queue_gap", name), [seen.half("mean_cosine", s) for s in seen.subjects("mean_cosine")]
        spread = max([1 - c for c in inner if c is not None], default=None)
        if gap is not None and spread is not None and (seen.half("queue_fill", name) or 0.0) > 0:
            excess = _ratio(gap / max(gap + spread, 1e-12), LIMITS["queue_gap"])
            what = f"the oldest keys of the queue lie apart from today's: {gap / max(gap + spread, 1e-12):.0%} of the spread is between them"
            yield Reading(excess, what, cause, slow, {"queue_gap": gap})
    # Not the term's positives: old copies of the record are among them.
    partners = [v for pair in seen.subjects("pair_cosine") if (v := seen.half("pair_cosine", pair)) is not None]
    for name in seen.subjects("queue_same"):
        same, other = seen.half("queue_same", name), seen.half("queue_other", name)
        if same is None or other is None or other >= 1 or not partners:
            continue
        stale, fresh = (1 - same) / (1 - other), (1 - max(partners)) / (1 - other)
        yield Reading(
            min(_ratio(stale, LIMITS["stale"]), _ratio(stale, 2 * max(fresh, 1e-12))),
            f"copies of a record in the queue are {stale:.0%} as far from it as strangers are (its fresh positive: {fresh:.0%})",
            cause,
            slow,
            {"queue_same": same, "queue_other": other},
        )


def _dead_tower(seen: Seen) -> Iterator[Reading]:
    # A tower that only teaches, or whose term has no weight yet, needs no gradient.
    names = (
        [] if seen.settings.ramped else [t for t in seen.subjects("gradient_norm") if t not in seen.settings.teachers]
    )
    towers = {t: seen.last("gradient_norm", t, len(seen.history.signs)) for t in names}
    greatest = max((v for norms in towers.values() for v in norms), default=0.0)
    # Where no tower has a gradient, the loss may be at its end (all triplets satisfied) or have no pair.
    if not greatest and (
        not seen.history.reference or (end := seen.ending()) is None or end[0] + (seen.history.level or 0) < 1e-6
    ):
        return
    for name, norms in towers.items():
        if norms and max(norms) <= 1e-7 * greatest:
            yield Reading(
                math.inf,
                f"the tower {name!r} gets no gradient: its norm is at most {max(norms):.2g}, that of the others {greatest:.2g}",
                "its vectors are detached on the way to the loss, or its weights are frozen",
                f"look for .detach(), no_grad or requires_grad=False in {name!r}; a tower that shall not learn goes through frozen",
                {f"gradient_norm/{name}": max(norms)},
                int(seen.history.signs[0]["step"]),
            )


def _uneven_towers(seen: Seen) -> Iterator[Reading]:
    relative = {}
    for name in seen.subjects("gradient_norm"):
        gradient, length = seen.half("gradient_norm", name), seen.half("parameter_norm", name)
        if gradient and length:
            relative[name] = gradient / length
    if len(relative) < 2:
        return
    low, high = min(relative, key=relative.__getitem__), max(relative, key=relative.__getitem__)
    share = relative[low] / relative[high]
    yield Reading(
        _below(share, LIMITS["imbalance"]),
        f"the gradient of {low!r} is {share:.1g} of that of {high!r}, each over the length of its weights",
        "one tower's output is scaled down, saturated, or nearly cut off from the loss",
        f"bring the outputs of {low!r} to the scale of the other, or give it a learning rate of its own",
        {"share": share},
    )


def _rate_high(seen: Seen) -> Iterator[Reading]:
    history, end = seen.history, seen.ending()
    if not seen.mature or end is None or seen.settings.moving or len(history.blocks) < FEWEST:
        return
    means = [b.mean for b in history.blocks]
    width = max(5, len(means) // 20) if history.width == 1 else max(1, len(means) // 20)
    smooth = [sum(means[i : i + width]) / width for i in range(len(means) - width + 1)]
    start, best = means[0], min(smooth)
    reference = abs(history.level) if history.level else history.reference
    noise = median(abs(a - b) for a, b in pairwise(means))
    fell = start - best
    lost = (end[0] - best) / fell if fell > max(5 * noise / math.sqrt(width), 0.1 * reference) else 0.0
    risen = (end[0] - start) / reference if reference > 0 else 0.0
    level = history.level or 0.0
    yield Reading(
        max(_ratio(lost, LIMITS["lost"]), _ratio(risen, LIMITS["risen"])),
        f"the loss went up: it began at {start + level:.4g}, was {best + level:.4g} at best and is {end[0] + level:.4g}",
        "the learning rate is too high: each step jumps over what it is after",
        seen.settings.times("learning_rate", 0.1, "0.0005") + " --set " + f"{seen.settings.name}.warmup=0.1",
        {"start": start + level, "best": best + level, "end": end[0] + level},
        end[1],
    )
    if seen.discriminates():
        return
    for name in seen.subjects("update_ratio"):
        ratios = [
            s[f"update_ratio/{name}"]
            for s in history.signs
            if s.get(f"parameter_norm/{name}", 0.0) > 0 and f"update_ratio/{name}" in s
        ]
        thrown = max(ratios, default=0.0)
        yield Reading(
            _ratio(thrown, LIMITS["thrown"]),
            f"one step moved the weights of {name!r} by {thrown:.2g} times their length",
            "the learning rate is too high: whatever the weights were is gone, and what is left learns slowly",
            seen.settings.times("learning_rate", 0.1 / max(thrown, 1e-12), "0.0005"),
            {"update_ratio": thrown},
            history.first,
        )


def _rate_low(seen: Seen) -> Iterator[Reading]:
    history, end = seen.history, seen.ending()
    ratios = [v for t in seen.subjects("update_ratio") if (v := seen.last("update_ratio", t, len(history.signs)))]
    if not seen.ended or history.steps < FEWEST or end is None or not ratios or seen.found() > 0.9:
        return
    path = max(sum(v) / len(v) for v in ratios) * history.steps
    reference = abs(history.level) if history.level else history.reference
    fell = max(0.0, history.blocks[0].mean - end[0]) / max(reference, 1e-12)
    level = history.level or 0.0
    yield Reading(
        min(_below(path, LIMITS["path"]), _below(fell, LIMITS["fall"])),
        f"the weights moved by at most {100 * path:.2g} % of their length in {history.steps} steps, and the loss from "
        f"{history.blocks[0].mean + level:.4g} to {end[0] + level:.4g}",
        "the learning rate is too low, or the training far too short",
        # So that the path becomes half of the weights' length; a rate moves them in proportion.
        seen.settings.times("learning_rate", min(max(0.5 / max(path, 1e-12), 10), 1e6), "0.005"),
        {"path": path, "fall": fell},
        history.first,
    )


def _modality_gap(seen: Seen) -> Iterator[Reading]:
    if not seen.mature:
        return
    for name in seen.subjects("pair_cosine"):
        first, second = name.split("-")[0], name.split("-")[-1]
        inner = [v for s in (first, second) if (v := seen.least("mean_cosine", s)) is not None]
        near, gap = seen.most("pair_cosine", name), seen.least("gap", name)
        if len(inner) < 2 or near is None or gap is None or seen.most(f"deviation/{first}") is not None:
            continue
        yield Reading(
            min(_ratio(max(inner) - near, LIMITS["gap"]), _ratio(gap, LIMITS["gap"])),
            f"{first!r} and {second!r} lie apart: strangers of one stream have a cosine of {max(inner):.2f}, partners across streams "
            f"of {near:.2f}",
            "two towers start in two cones, and a low temperature never brings them together",
            "search one stream at a time; to close the gap raise or learn the temperature: --set objective.learn_temperature=true",
            {"gap": gap, "pair_cosine": near, "mean_cosine": max(inner)},
        )


def _overfitting(seen: Seen) -> Iterator[Reading]:
    for figure in [name for name in (seen.history.held or [{}])[-1] if name != "step"]:
        sign = -1.0 if "loss" in figure else 1.0
        held = [(int(h["step"]), h[figure]) for h in seen.history.held if figure in h]
        if len(held) < 6:
            continue
        # Means of three in a row: the best of many noisy figures looks better than any of them is.
        values = [v for _, v in held]
        means = [sum(three) / 3 for three in zip(values, values[1:], values[2:], strict=False)]
        place = max(range(len(means)), key=lambda i: sign * means[i])
        step, best, last = held[place + 1][0], means[place], means[-1]
        # Noise by second differences, which a steady trend leaves at zero; a mean of three has 1 / sqrt(3) of it, two means differ by more.
        bends = [abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
        noise = median(bends) / (0.6745 * math.sqrt(6))
        worse = (sign * (best - last) - 2 * noise * math.sqrt(2 / 3)) / max(abs(best), 1e-12)
        before = [b.mean for b in seen.history.blocks if b.first <= step][-5:]
        end = seen.ending()
        fell = sum(before) / len(before) - end[0] if before and end is not None else 0.0
        epochs = seen.settings.number("epochs")
        share = f"{epochs * step / seen.history.last:.3g}" if epochs else "FEWER"
        yield Reading(
            _ratio(worse, LIMITS["overfitting"]) if fell > 0 else 0.0,
            f"on held-out records {figure} was {best:.4g} around step {step} and is {last:.4g}, while the training loss fell on",
            "the model learns these records by heart",
            f"--set {seen.settings.name}.epochs={share}, or --set {seen.settings.name}.keep=best; more data, or more dropout, helps more",
            {"best": best, "now": last, "best_step": float(step)},
            step,
        )


def _wrong_positives(seen: Seen) -> Iterator[Reading]:
    if not seen.mature or seen.groups < GROUPS:
        return
    for name in seen.subjects("lower_half"):
        low, first = seen.half("lower_half", name), seen.half("found_first", name)
        if low is None or first is None:
            continue
        yield Reading(
            min(_ratio(low, LIMITS["lower_half"]), _ratio(first, 0.5)),
            f"{first:.0%} of the positives stand first, but {low:.0%} in the lower half of all candidates: they are never found",
            f"about {2 * low:.0%} of the pairs do not belong together (shifted rows, a wrong join, labels that lie)",
            "look at the pairs with the lowest scores, and at how the two columns were joined",
            {"lower_half": low, "found_first": first},
        )


def _no_positives(seen: Seen) -> Iterator[Reading]:
    for name in seen.subjects("without_positive"):
        share = seen.half("without_positive", name)
        if share is None:
            continue
        yield Reading(
            _ratio(share, LIMITS["without_positive"]),
            f"{share:.0%} of the rows have no positive in their batch and add nothing to the loss",
            "a batch holds too few records of each class, or the relation reads a column that never matches",
            seen.settings.times("batch_size", 4, "1024")
            + f", or batches balanced by class: --set {seen.settings.name}.batching.balance=label",
            {"without_positive": share},
        )


def _zero_vectors(seen: Seen) -> Iterator[Reading]:
    for name in seen.subjects("zero_rows"):
        share = seen.half("zero_rows", name)
        if share is None:
            continue
        yield Reading(
            _ratio(share, LIMITS["zero_rows"]),
            f"{share:.0%} of the vectors of {name!r} are zero: they are near nothing and learn nothing",
            "empty records (no known word, a blank picture), or a last layer whose units are dead",
            "remove empty records; end the encoder without a ReLU",
            {"zero_rows": share},
        )


CHECKS = (
    Check("not_a_number", "error", _not_a_number),
    Check("collapse", "error", _collapse),
    Check("chance_level", "error", _chance_level),
    Check("dead_queue", "error", _dead_queue),
    Check("dead_tower", "error", _dead_tower),
    Check("temperature_high", "warning", _temperature_high),
    Check("temperature_low", "warning", _temperature_low),
    Check("rate_high", "warning", _rate_high),
    Check("rate_low", "warning", _rate_low),
    Check("few_dimensions", "warning", _few_dimensions),
    Check("false_negatives", "warning", _false_negatives),
    Check("stale_queue", "warning", _stale_queue),
    Check("uneven_towers", "warning", _uneven_towers),
    Check("overfitting", "warning", _overfitting),
    Check("wrong_positives", "warning", _wrong_positives),
    Check("no_positives", "warning", _no_positives),
    Check("zero_vectors", "warning", _zero_vectors),
    Check("modality_gap", "note", _modality_gap),
)

# A finding that is the reason of another stands for it: one cause, one message.
EXPLAINS: Mapping[str, tuple[str, ...]] = {
    "not_a_number": tuple(c.name for c in CHECKS if c.name != "not_a_number"),
    "collapse": ("chance_level", "few_dimensions", "modality_gap", "uneven_towers", "stale_queue"),
    "dead_tower": ("chance_level", "uneven_towers"),
    "dead_queue": ("stale_queue",),
    "temperature_high": ("chance_level", "modality_gap"),
    "rate_low": ("chance_level",),
    "chance_level": ("modality_gap",),
    "rate_high": ("chance_level", "few_dimensions", "modality_gap"),
    "no_positives": ("chance_level", "dead_tower", "rate_high"),
    "few_dimensions": ("chance_level", "false_negatives"),
}
