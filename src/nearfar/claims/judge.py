"""From the figures of paired trials to a verdict: reproduced, contradicted, or not reproduced at this scale.

"a > b" is reproduced where the 95 % interval of the paired difference lies above the margin, contradicted where it lies below minus
the margin. "a = b" is reproduced where the interval lies within the margin on both sides, contradicted where it lies outside. All
else is not reproduced at this scale: that says how sure this experiment is, not that the paper is wrong. Several comparisons: all must
be reproduced; one that is contradicted contradicts.

Over seeds the interval is Student's (n - 1 degrees of freedom) - ten values are too few for a percentile bootstrap - and the p value is
exact, over all 2^n signs. Over items it is the bootstrap's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

import numpy as np

from nearfar.claims.expectation import Comparison
from nearfar.core.optional import needed
from nearfar.probes.outcome import Outcome
from nearfar.probes.statistics import compare_outcomes, sign_flip_p

Verdict = Literal["reproduced", "contradicted", "not reproduced"]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Judged:
    """One comparison: the difference first - second with its interval, its p value, and the verdict."""

    comparison: Comparison
    difference: float
    low: float
    high: float
    p_value: float
    n: int
    verdict: Verdict


def judged(comparison: Comparison, first: Any, second: Any, margin: float) -> Judged:
    """A comparison by figures [n] of paired trials, one a seed."""
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    mean, n = float(differences.mean()), len(differences)
    reach = float(needed("scipy.stats", "probes").t.ppf((1 + CONFIDENCE) / 2, n - 1))
    half = reach * float(differences.std(ddof=1)) / sqrt(n)
    return _judged(comparison, mean, mean - half, mean + half, sign_flip_p(differences), n, margin)


def judged_items(comparison: Comparison, first: Outcome, second: Outcome, metric: str, margin: float) -> Judged:
    """A comparison by what single trials measured of each item."""
    found = compare_outcomes(first, second, metric, confidence=CONFIDENCE)
    mean, low, high = found.difference
    return _judged(comparison, mean, low, high, 1.0 if found.p_value is None else found.p_value, found.n, margin)


def _judged(c: Comparison, mean: float, low: float, high: float, p: float, n: int, margin: float) -> Judged:
    verdict: Verdict = "not reproduced"
    if c.kind == "equal":
        if -margin <= low and high <= margin:
            verdict = "reproduced"
        elif low > margin or high < -margin:
            verdict = "contradicted"
    elif low > margin:
        verdict = "reproduced"
    elif high < -margin:
        verdict = "contradicted"
    return Judged(c, mean, low, high, p, n, verdict)


def overall(comparisons: Sequence[Judged]) -> Verdict:
    """The verdict on the claim."""
    verdicts = {one.verdict for one in comparisons}
    if "contradicted" in verdicts:
        return "contradicted"
    return "reproduced" if verdicts == {"reproduced"} else "not reproduced"


def means(figures: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The mean of each arm."""
    return {arm: float(np.mean(values)) for arm, values in figures.items()}
