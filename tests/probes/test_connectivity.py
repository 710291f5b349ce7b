"""Connectivity where it is known by construction: what overlaps is connected, what does not is not."""

import numpy as np
import pytest

import nearfar as nf
from nearfar.core.errors import DataError


def world(seed, *, domain=5.0, kind=5.0, n=600):
    """Three classes in two domains: `kind` is how far classes lie apart, `domain` how far domains do."""
    generator = np.random.default_rng(seed)
    classes, domains = generator.integers(0, 3, n), generator.integers(0, 2, n)
    x = generator.normal(size=(n, 5)) + 3
    x[np.arange(n), classes] += kind
    x[:, 3] += domain * domains
    return x, classes, domains


def found(**apart):
    return nf.connectivity(*world(0, **apart), *world(1, **apart)).figures()


def test_what_overlaps_is_connected():
    apart, merged = found(domain=30.0, kind=30.0), found(domain=0.0, kind=30.0)
    assert max(apart[name] for name in ("alpha", "beta", "gamma")) < 0.02
    assert merged["alpha"] == pytest.approx(0.5, abs=0.06)  # one class in two domains that do not differ
    assert merged["gamma"] < 0.02
    assert merged["alpha/gamma"] > 10 > apart["alpha/gamma"]
    same_kinds = found(domain=30.0, kind=0.0)
    assert same_kinds["beta"] == pytest.approx(0.5, abs=0.06)
    assert same_kinds["alpha"] < 0.02


def test_an_error_is_never_zero():
    assert min(found(domain=500.0, kind=500.0).values()) > 0


def test_the_names_of_classes_and_domains_do_not_count():
    x, classes, domains = world(0)
    y, others, places = world(1)
    words = np.array(["a", "b", "c"])
    named = nf.connectivity(x, words[classes], words[domains], y, words[others], words[places])
    assert named.figures() == nf.connectivity(x, classes, domains, y, others, places).figures()


def test_pairs_are_drawn_by_the_seed():
    given = (*world(0, kind=1.0), *world(1, kind=1.0))
    one, again, other = (nf.connectivity(*given, pairs=2, seed=seed).figures() for seed in (0, 0, 3))
    assert one == again
    assert one["gamma"] != other["gamma"]
    assert one["alpha"] == other["alpha"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda classes, domains: (classes, domains * 0), "1 domains"),
        (lambda classes, domains: (classes * 0, domains), "one class"),
        (lambda classes, domains: (np.where(domains == 1, classes, 0), domains), "not in both domains"),
    ],
)
def test_what_cannot_be_measured_is_named(change, message):
    (x, *first), (y, *second) = world(0), world(1)
    with pytest.raises(DataError, match=message):
        nf.connectivity(x, *change(*first), y, *change(*second))
