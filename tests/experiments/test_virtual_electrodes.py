"""Virtual electrodes and a bath at toy size."""

import dataclasses

import pytest

from experiments.cardiac import virtual_electrodes
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = virtual_electrodes.Config(
    cell_model="mitchell_schaeffer",
    edge_mm=12.0,
    duration_ms=1.0,
    dx_mm=0.5,
    dt_ms=0.1,
    largest_ma=4.0,
    watch_ms=4.0,
    rounds=1,
    cable_mm=6.0,
    strip_voxels=2,
    bath_voxels=2,
)


@pytest.mark.slow
def test_a_cathode_has_virtual_anodes_excites_with_less_and_a_bath_speeds_the_surface(tmp_path):
    summary = virtual_electrodes.run(TOY, Workspace(tmp_path, progress=False)).summary
    assert summary["virtual_anode_mv"] < 0 < summary["cathode_mv"]
    assert 0.5 < summary["virtual_anode_distance_mm"] < 2.5
    assert summary["cathodal_threshold_ma"] < summary["anodal_threshold_ma"]  # Wikswo and others: two to five times
    assert 1 < summary["velocity_with_bath_m_per_s"] / summary["velocity_without_bath_m_per_s"] < summary["largest_possible_ratio"]
    assert summary["surface_leads_with_bath_ms"] > 0.1 > abs(summary["surface_leads_without_bath_ms"])


@pytest.mark.parametrize(
    "change",
    [{"dx_mm": float("nan")}, {"edge_mm": 2.0}, {"rounds": 0}, {"bath_voxels": 0}, {"dt_ms": 1.0}, {"bath_conductivity_s_per_m": 1000.0}],
)
def test_bad_options_are_refused_in_one_line(change):
    with pytest.raises(InputError) as caught:
        virtual_electrodes.run(dataclasses.replace(TOY, **change), Workspace(progress=False))
    assert "\n" not in str(caught.value)
