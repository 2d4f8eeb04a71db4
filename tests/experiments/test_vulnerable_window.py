"""The vulnerable window at toy size: what its edges part, refinement, a strip beside a cable, and known directions."""

import dataclasses

import pytest

from experiments.cardiac import vulnerable_window
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = vulnerable_window.Config(
    cell_model="mitchell_schaeffer",
    length_mm=16.0,
    search_ms=40.0,
    watch_ms=60.0,
    dt_ms=0.1,
    dx_mm=0.4,
    beats=1,
    samples=3,
    cycle_length_ms=450.0,
    precision="float64",
)
ALONE = dataclasses.replace(TOY, samples=0, sensitivity=False)


def window(config):
    return vulnerable_window.run(config, Workspace(progress=False)).summary


@pytest.mark.slow
def test_below_no_way_within_one_above_both_and_what_moves_the_edges(tmp_path):
    summary = vulnerable_window.run(TOY, Workspace(tmp_path, progress=False)).summary
    assert (summary["ways_below"], summary["ways_within"], summary["ways_above"]) == (0, 1, 2)
    assert summary["repolarisation_ms"] < summary["lower_edge_ms"] < summary["upper_edge_ms"]
    assert summary["window_width_ms"] == pytest.approx(summary["upper_edge_ms"] - summary["lower_edge_ms"], abs=1e-9)
    for edge in ("lower_edge", "upper_edge"):
        assert summary[f"{edge}_per_10_percent_i_kr_ms"] < -5  # more outward current repolarises earlier
        assert summary[f"{edge}_per_10_percent_i_na_ms"] > 5  # in this cell the inward current also carries the plateau
        assert summary[f"{edge}_5_percent_ms"] < summary[f"{edge}_mean_ms"] < summary[f"{edge}_95_percent_ms"]
    assert summary["window_width_per_10_percent_i_na_ms"] < 0  # less excitable tissue is vulnerable for longer
    assert summary["window_width_per_0.1_fibrosis_ms"] > 1  # so is uncoupled tissue
    assert summary["samples_without_window"] == 0
    alone = window(ALONE)
    for name in ("lower_edge_ms", "upper_edge_ms", "repolarisation_ms"):  # a member of a batch is the tissue by itself
        assert alone[name] == pytest.approx(summary[name], abs=TOY.tolerance_ms)


@pytest.mark.slow
def test_edges_converge_with_voxels_and_steps():
    """Spacings that divide the region of S2: else its ends are voxels that are stimulated in part, and edges jump by tenths of a ms."""
    fine = dataclasses.replace(ALONE, tolerance_ms=0.01, dt_ms=0.05)
    coarse, middle, best = (window(dataclasses.replace(fine, dx_mm=dx)) for dx in (0.5, 0.25, 0.125))
    for name in ("lower_edge_ms", "upper_edge_ms"):
        assert abs(middle[name] - best[name]) < 0.4 * abs(coarse[name] - middle[name])
        assert abs(middle[name] - best[name]) < 0.2
    longer = window(dataclasses.replace(fine, dx_mm=0.25, dt_ms=0.1))
    for name in ("lower_edge_ms", "upper_edge_ms"):
        assert longer[name] == pytest.approx(middle[name], abs=0.1)


@pytest.mark.slow
def test_a_strip_of_uniform_tissue_has_the_window_of_a_cable():
    cable, strip = window(ALONE), window(dataclasses.replace(ALONE, width_mm=1.2))
    for name in ("lower_edge_ms", "upper_edge_ms"):
        assert strip[name] == pytest.approx(cable[name], abs=TOY.tolerance_ms)


def test_no_window_is_said_and_not_made_up():
    result = vulnerable_window.run(dataclasses.replace(ALONE, search_ms=5.0), Workspace(progress=False))
    assert result.summary["lower_edge_ms"] is None and any("No window" in note for note in result.notes)


@pytest.mark.slow
def test_less_sodium_current_delays_and_widens_the_window_of_ten_tusscher():
    """The known direction: block of sodium channels prolongs vulnerability (Starmer et al. 1991)."""
    config = vulnerable_window.Config(samples=0, beats=1, precision="float64")
    summary = window(config)
    assert (summary["ways_below"], summary["ways_within"], summary["ways_above"]) == (0, 1, 2)
    for name in ("lower_edge", "upper_edge", "window_width"):
        assert summary[f"{name}_per_10_percent_i_na_ms"] < -0.1
    assert summary["lower_edge_per_10_percent_i_kr_ms"] < -2 and summary["upper_edge_per_10_percent_i_kr_ms"] < -2
    finer = window(dataclasses.replace(config, sensitivity=False, dx_mm=0.1, dt_ms=0.01))
    assert finer["lower_edge_ms"] == pytest.approx(summary["lower_edge_ms"], abs=1.0)
    assert finer["window_width_ms"] == pytest.approx(summary["window_width_ms"], rel=0.1)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("cell_model", "aliev_panfilov", "one of the cells"),
        ("length_mm", 9.0, "longer cable"),
        ("dt_ms", 1.0, "0.0025 to 0.1"),
        ("i_na", 0.0, "0.1 to 5"),
        ("samples", -1, "--samples -1"),
        ("dx_mm", float("nan"), "0.02 to 1"),
        ("cycle_length_ms", 200.0, "no regular beat|comes and goes"),
    ],
)
@pytest.mark.quick(6)
def test_bad_options_are_refused_in_one_line(option, value, expected):
    with pytest.raises(InputError, match=expected) as caught:
        window(dataclasses.replace(ALONE, **{option: value}))
    assert "\n" not in str(caught.value)
