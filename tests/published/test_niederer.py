"""The slab of Niederer 2011: second-order volumes are among the codes of the paper, fitted ones are so at half the resolution."""

import json
from pathlib import Path

import pytest

from experiments.cardiac.niederer import Config, run
from twinsim.workspace import Workspace

PUBLISHED = json.loads((Path(__file__).parent / "niederer_2011.json").read_text())


def times(**options) -> dict[str, float]:
    summary = run(Config(**options), Workspace(progress=False)).summary
    assert summary["activated_fraction"] == 1
    return summary


def assert_within_two_deviations(summary: dict[str, float], spacing: str) -> None:
    for name, (mean, deviation) in PUBLISHED[spacing].items():
        assert abs(summary[name] - mean) < 2 * deviation, (name, summary[name], mean, deviation)


@pytest.mark.slow
def test_second_order_volumes_at_half_a_millimetre_are_among_the_codes():
    assert_within_two_deviations(times(dx_mm=0.5, dt_ms=0.05, scheme="finite_volume"), "0.5")


@pytest.mark.slow
def test_second_order_volumes_at_a_fifth_are_among_the_codes():
    assert_within_two_deviations(times(dx_mm=0.2, dt_ms=0.02, scheme="finite_volume"), "0.2")


@pytest.mark.slow
def test_fitted_voxels_of_a_fifth_are_where_the_codes_are_at_a_tenth():
    assert_within_two_deviations(times(dx_mm=0.2, dt_ms=0.01), "0.1")


@pytest.mark.slow
def test_fitted_voxels_of_a_tenth():
    assert_within_two_deviations(times(dx_mm=0.1, dt_ms=0.01), "0.1")
