"""Which pause is later: told apart by paired differences, or said to be noise."""

import numpy as np
import pytest

from twinsim.psa_schedule import Option, told_apart

DRAWS = np.random.default_rng(0).normal(700.0, 200.0, 40)


def option(pause, days):
    return Option(pause, days, 1.0)


def test_the_difference_is_paired():
    """Draws scatter by 200 days, their differences by 10: the error is that of the differences."""
    small = np.random.default_rng(1).normal(30.0, 10.0, 40)
    mean, error = option(84.0, DRAWS + small).later_than(option(0.0, DRAWS))
    assert mean == pytest.approx(small.mean()) and error == pytest.approx(small.std(ddof=1) / np.sqrt(40))
    assert option(84.0, DRAWS).later_than(option(84.0, DRAWS)) == (0.0, 0.0)


def test_a_pause_is_named_only_if_it_is_told_from_all_others():
    best, near, far = option(84.0, DRAWS + 50.0), option(168.0, DRAWS + 45.0 + 60.0 * (np.arange(40) % 2 - 0.5)), option(0.0, DRAWS)
    assert told_apart([best, far]) is best
    assert told_apart([best, near, far]) is None
    assert told_apart([option(84.0, DRAWS), option(0.0, DRAWS)]) is None
