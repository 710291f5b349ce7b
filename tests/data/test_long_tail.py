"""Long tails: sizes that fall geometrically, in a drawn order of the classes."""

import numpy as np
import pytest

from nearfar.core.errors import UsageError
from nearfar.data.long_tail import long_tail

LABEL = np.tile(np.arange(4), 30)


def test_sizes_fall_by_the_ratio():
    kept = long_tail(LABEL, 27.0)
    assert sorted(np.bincount(LABEL[kept]).tolist()) == [1, 3, 10, 30]
    assert len(set(kept.tolist())) == len(kept)
    assert np.array_equal(kept, np.sort(kept))


def test_no_class_is_larger_than_the_smallest_one_was():
    label = np.r_[np.zeros(50, int), np.ones(8, int)]
    assert np.bincount(label[long_tail(label, 1.0)]).tolist() == [8, 8]


def test_the_largest_class_may_be_told():
    assert sorted(np.bincount(LABEL[long_tail(LABEL, 4.0, largest=16)]).tolist()) == [4, 6, 10, 16]
    with pytest.raises(UsageError, match="smallest there is has 30"):
        long_tail(LABEL, 4.0, largest=31)


def test_the_seed_draws_the_order_of_the_classes():
    largest = {int(np.bincount(LABEL[long_tail(LABEL, 9.0, seed)]).argmax()) for seed in range(20)}
    assert largest == {0, 1, 2, 3}
    assert np.array_equal(long_tail(LABEL, 9.0, 3), long_tail(LABEL, 9.0, 3))
    assert not np.array_equal(long_tail(LABEL, 9.0, 3), long_tail(LABEL, 9.0, 4))


def test_every_class_keeps_a_record():
    assert np.bincount(LABEL[long_tail(LABEL, 1e6)]).min() == 1


@pytest.mark.parametrize("ratio", [0.5, float("nan")])
def test_a_ratio_below_one_is_refused(ratio):
    with pytest.raises(UsageError, match="ratio"):
        long_tail(LABEL, ratio)
