"""Scores of forecasts of events against closed forms, simulation and each other."""

import numpy as np
import pytest

from twinsim.errors import InputError
from twinsim.event_forecast import (
    brier,
    chance_sensitivity,
    crps_of_onset,
    log_score,
    probability_within,
    reliability,
    sensitivity_curve,
    skill,
    surrogate_p_value,
    warnings_of,
)

TIMES = np.linspace(0, 240, 2401)


def test_crps_of_an_exponential_is_its_closed_form():
    rate = 1 / 30
    survival = np.exp(-rate * TIMES)[None]
    onset = np.array([17.03])
    # of the whole half line: T + 2/rate (exp(-rate T) - 1) + 1/(2 rate); less what lies beyond the horizon
    exact = onset + 2 / rate * (np.exp(-rate * onset) - 1) + 1 / (2 * rate) - np.exp(-2 * rate * 240) / (2 * rate)
    assert abs(crps_of_onset(survival, TIMES, onset) - exact) < 1e-5 * exact


def test_crps_of_the_truth_itself_is_zero_and_of_an_onset_beyond_is_the_square_of_the_forecast():
    sure = (TIMES < 30).astype(float)[None]
    assert crps_of_onset(sure, TIMES, np.array([29.95])) == pytest.approx(0, abs=0.05)
    never = crps_of_onset(np.exp(-TIMES / 50)[None], TIMES, np.array([np.inf]))
    exact = 240 - 2 * 50 * (1 - np.exp(-240 / 50)) + 25 * (1 - np.exp(-480 / 50))
    assert never == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("score", [crps_of_onset, log_score])
def test_scores_are_proper(score):
    onset = np.random.default_rng(0).exponential(40.0, 20_000)
    coarse = TIMES[::20]
    means = [score(np.tile(np.exp(-coarse / scale), (onset.size, 1)), coarse, onset).mean() for scale in (20.0, 28.0, 40.0, 56.0, 80.0)]
    assert int(np.argmin(means)) == 2


def test_brier_skill_and_reliability_of_a_perfect_forecaster():
    generator = np.random.default_rng(1)
    probability = generator.uniform(size=50_000)
    came = generator.uniform(size=50_000) < probability
    assert brier(probability, came) == pytest.approx(1 / 6, abs=0.003)  # E p(1-p) of a uniform p
    assert skill(brier(probability, came), brier(np.full(50_000, 0.5), came)) == pytest.approx(1 / 3, abs=0.01)
    said, share, count = reliability(probability, came)
    assert np.abs(said - share).max() < 0.02 and count.sum() == 50_000
    assert probability_within(np.exp(-TIMES / 24)[None], TIMES, 24.0) == pytest.approx(1 - np.exp(-1), abs=1e-9)


@pytest.mark.parametrize(("share", "lead"), [(0.2, 0.0), (0.3, 2.0), (0.6, 5.0), (0.4, 6.0)])
def test_chance_is_what_poisson_alarms_reach(share, lead):
    generator = np.random.default_rng(2)
    duration, rate, span = 6.0, -np.log1p(-share) / 6.0, 400_000.0
    starts = np.sort(generator.uniform(0, span, generator.poisson(rate * span)))
    gap = np.diff(starts) > duration  # merged warnings
    first, last = starts[np.r_[True, gap]], starts[np.r_[gap, True]] + duration
    events = generator.uniform(100, span, 100_000)
    place = np.searchsorted(first, events - lead, side="right") - 1
    warned = ((events <= last[place]) & (place >= 0)).mean()
    assert warned == pytest.approx(chance_sensitivity(share, duration, lead), abs=0.006)
    snyder = 1 - np.exp(-rate * duration + 1 - np.exp(-rate * lead))
    assert abs(snyder - chance_sensitivity(share, duration, lead)) < 0.1 * (rate * lead) ** 2 + 1e-12 or lead > 2


def test_warnings_are_counted_by_hand():
    alarm = np.array([0, 1, 1, 0, 0, 1, 0, 0, 1, 0], bool)
    found = warnings_of(alarm, [7.0, 10.0, 15.0, 30.0], 4.0)  # warned, warned, not, not (28 to 32 is off)
    assert (found.warned, found.events, found.time_in_warning) == (2, 4, 0.4)
    assert found.false_per_hour == pytest.approx(2 / 40) and found.improvement == pytest.approx(0.1)
    assert found.p_value == pytest.approx(1 - 0.6**4 - 4 * 0.4 * 0.6**3)
    assert warnings_of(alarm, [7.0, 10.0], 4.0, lead=3.5).warned == 1  # at 7 h it had been on for 3 h only
    curve = sensitivity_curve(np.arange(10.0), np.array([39.0, 3.0]), 4.0, np.array([0.1, 1.0]))
    assert curve.tolist() == [0.5, 1.0]


def test_shifted_seizures_tell_an_alarm_that_knows_from_one_that_follows_the_clock():
    hours, generator = np.arange(0, 24 * 60, 6.0), np.random.default_rng(3)
    knows = generator.uniform(size=hours.size) < 0.2
    events = hours[knows][::3] + 1.0
    assert surrogate_p_value(knows, events, 6.0, 0) < 0.01
    clock = hours % 24 == 6  # all seizures in the morning: significant by any shift, not by shifts of whole days
    morning = 24 * generator.choice(59, 25, replace=False) + 8.0
    assert surrogate_p_value(clock, morning, 6.0, 0, whole=24.0) == 1.0
    assert warnings_of(clock, morning, 6.0).p_value < 1e-10
    uniform = [surrogate_p_value(knows, generator.uniform(0, 24 * 60, 20), 6.0, n, surrogates=199) for n in range(60)]
    assert 0.35 < np.mean(uniform) < 0.65


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: crps_of_onset(np.array([[1.0, 0.5, 0.6]]), np.array([0.0, 1.0, 2.0]), np.array([1.0])), "rises"),
        (lambda: probability_within(np.array([[1.0, 0.5]]), np.array([0.0, 1.0]), 2.0), "at most 1"),
        (lambda: log_score(np.array([[1.0, 0.5]]), np.array([1.0, 2.0]), np.array([1.0])), "from 0 upwards"),
        (lambda: chance_sensitivity(1.2, 6.0), "share from 0 to 1"),
        (lambda: warnings_of(np.array([True]), [7.0], 6.0), "within the record"),
        (lambda: surrogate_p_value(np.array([True, False]), np.array([1.0]), 6.0, 0, whole=24.0), "longer record"),
    ],
)
def test_bad_input_is_one_line(call, words):
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_equal_forecasts_stay_in_one_bin_of_reliability():
    said = np.r_[np.full(50, 0.3), np.full(30, 0.7), np.linspace(0.8, 0.9, 20)]
    mean, came, count = reliability(said, np.r_[np.zeros(40), np.ones(60)].astype(bool), 8)
    assert mean[0] == pytest.approx(0.3) and count[0] == 50 and came[0] == pytest.approx(0.2)
    assert count[1] == 37 and count.sum() == 100  # all of 0.7, and what the next cut adds
