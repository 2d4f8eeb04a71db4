"""Complexity of answers at toy size."""

import dataclasses

import pytest

from experiments.neuro import complexity
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = complexity.Config(adaptation=(0.0, 12.0), seeds=1, regions=24, trials=12, resamples=100, window_ms=200.0)


@pytest.mark.slow
def test_there_is_an_answer_awake_and_none_without_a_pulse():
    result = complexity.run(TOY, Workspace(progress=False))
    summary, data = result.summary, result.dataset
    assert summary["index_awake"] > 0.31 and summary["entropy_without_pulse_highest_bits"] < 0.08
    assert (data["sources"].values[:, 0] > 6).all() and (data["rate"].values[:, 0] > 2 * data["rate"].values[:, 1]).all()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("adaptation", (), "0 for awake"),
        ("window_ms", 201.0, "whole 4 ms"),
        ("dt_ms", 0.3, "divide 4 ms"),
        ("trials", 1, "at least 2"),
        ("pulsed_regions", 500, "fewer than all"),
        ("connectome", "nowhere.zip", "correct the path"),
    ],
)
def test_bad_options_are_one_line(option, value, words):
    with pytest.raises(InputError, match=words) as caught:
        complexity.run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)
