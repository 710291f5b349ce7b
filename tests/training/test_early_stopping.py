"""Which measurement is best and when to stop: by hand, as a function of the figures alone, with odd figures."""

import math

import pytest

from nearfar.core.errors import UsageError
from nearfar.training.early_stopping import best, should_stop, since_improvement

NAN = math.nan


@pytest.mark.parametrize(
    ("figures", "mode", "place"),
    [
        ([], "max", None),
        ([0.3], "max", 0),
        ([0.1, 0.5, 0.4], "max", 1),
        ([0.1, 0.5, 0.4], "min", 0),
        ([0.5, 0.5], "max", 0),
        ([NAN, 0.1, NAN, 0.2], "max", 3),
        ([NAN], "min", None),
        ([-math.inf, -2.0], "max", 1),
    ],
)
def test_best(figures, mode, place):
    assert best(figures, mode=mode) == place


def stops_at(figures, patience, **options):
    """After how many measurements a training ends; None if it does not."""
    return next((n for n in range(1, len(figures) + 1) if should_stop(figures[:n], patience, **options)), None)


def test_patience_counts_measurements_without_an_improvement():
    figures = [0.1, 0.3, 0.2, 0.25, 0.4, 0.4, 0.1, 0.39, 0.5]
    assert [stops_at(figures, p) for p in (1, 2, 3, 4)] == [3, 4, 8, None]
    assert stops_at([-f for f in figures], 2, mode="min") == 4
    assert stops_at(figures, None) is None
    assert stops_at([0.1, 0.2, 0.3], 1) is None


def test_min_delta_is_measured_from_the_last_improvement():
    creeping = [0.50, 0.51, 0.52, 0.53, 0.54]
    assert since_improvement(creeping) == 0
    assert [since_improvement(creeping[:n], min_delta=0.025) for n in range(1, 6)] == [0, 1, 2, 0, 1]
    # The known-bad variant measures from the figure before, and so would never see this one improve.
    from_the_one_before = [b - a > 0.025 for a, b in zip(creeping, creeping[1:], strict=False)]
    assert not any(from_the_one_before)
    assert stops_at(creeping, 2, min_delta=0.025) == 3
    assert since_improvement([3.0, 2.9, 2.0], mode="min", min_delta=0.5) == 0


def test_odd_figures_count_and_never_improve():
    assert stops_at([0.5, NAN, NAN], 2) == 3
    assert stops_at([NAN, NAN], 2) == 2
    assert since_improvement([NAN, 0.1, 0.2]) == 0
    assert since_improvement([]) == 0
    assert not should_stop([], 1)


def test_wrong_settings():
    with pytest.raises(UsageError, match="patience of 0"):
        should_stop([0.1], 0)
    with pytest.raises(UsageError, match="min_delta is -1"):
        since_improvement([0.1], min_delta=-1.0)
