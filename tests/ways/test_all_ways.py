"""One loss, every way of running it, the same gradient: objective x relation x way, each equal to naive loops in float64.

`make test` runs every rule under every relation plain, every objective in every way, and every relation in every way; `make
test-all` runs the full product. Beside each objective and each relation stand the mistakes that people make; all must be noticed.
"""

import functools
import itertools
import os

import pytest

from contract.naive import COMPOSED, RULES, module
from nearfar.objectives.composed import Objective
from nearfar.testing.suite import NOTICED, TOLERANCE, distance, noticed
from nearfar.testing.ways import WAYS, truth
from ways import problems

EVERYTHING = os.environ.get("NEARFAR_TEST_ALL") == "1"
# A local term sees what an encoder makes of its inputs, and a problem here has towers of vectors: those run in every way in
# tests/training/test_local_terms.py and test_training_on_ranks.py.
ON_ROWS = [n for n in COMPOSED if not (isinstance(o := module(n).objective(), Objective) and o.local())]
# They see positives alone, and aligned ones lie on one rank: only scattered ones tell a wrong gather from a right one.
SCATTERED = {"active_pull": "labelled", "pull": "labelled"}
OTHER_WAYS = [way for way in WAYS if way != "plain"]


def product():
    """(rule, relation, way): all, or a choice that meets every pair of the three at least once."""
    if EVERYTHING:
        return list(itertools.product(RULES, problems.RELATION, WAYS))
    chosen = [(rule, relation, "plain") for rule, relation in itertools.product(RULES, problems.RELATION)]
    chosen += [(rule, problems.ALIGNED, way) for rule, way in itertools.product(RULES, OTHER_WAYS)]
    turn = itertools.cycle(RULES)
    chosen += [(next(turn), relation, way) for relation, way in itertools.product(problems.RELATION, OTHER_WAYS)]
    return sorted(set(chosen))


@functools.cache
def right(make, *arguments):
    return truth(make(*arguments))


@pytest.mark.parametrize(("rule", "relation", "way"), product())
def test_a_rule_under_a_relation_in_a_way(rule, relation, way, rank_groups):
    truth_here = right(problems.rule, rule, relation)
    assert distance(way, truth_here, problems.rule, (rule, relation), rank_groups) < TOLERANCE


@pytest.mark.parametrize(("name", "way"), list(itertools.product(ON_ROWS, WAYS)))
def test_an_objective_in_a_way(name, way, rank_groups):
    assert distance(way, right(problems.composed, name), problems.composed, (name,), rank_groups) < TOLERANCE


@pytest.mark.parametrize(
    ("make", "arguments"),
    [(problems.rule, (rule, SCATTERED.get(rule, problems.ALIGNED))) for rule in RULES]
    + [(problems.rule, ("info_nce", relation)) for relation in problems.RELATION]
    + [(problems.composed, (name,)) for name in ON_ROWS],
)
def test_mistakes_are_noticed(make, arguments):
    found = noticed(right(make, *arguments), make, arguments)
    assert {name: by for name, by in found.items() if not by > NOTICED} == {}
