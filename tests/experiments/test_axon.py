"""A spike along an axon at toy size, and the laws that velocities and thresholds obey."""

import dataclasses

import numpy as np
import pytest

from experiments.neuro import axon
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = axon.Config(compartments=120, dt_ms=0.01, threshold="none")
NODES = axon.Config(axon="myelinated", length_mm=30.0, dt_ms=0.0025, threshold="none")
VELOCITY = "conduction_velocity_m_per_s"


def summary(config):
    return axon.run(config, Workspace(progress=False)).summary


@pytest.mark.slow
def test_the_squid_conducts_as_published_and_by_the_root_of_the_diameter():
    """18.73 m/s is the travelling wave's; with as many compartments per length constant a thicker axon is the same, stretched."""
    result = axon.run(TOY, Workspace(progress=False))
    assert result.summary[VELOCITY] == pytest.approx(18.73, rel=0.004)  # 0.3 % of it are 0.5 mm and 0.01 ms; 0.06 % by default
    assert result.dataset["potential"].dims == ("time", "x")
    arrival = np.asarray(result.dataset["arrival"])
    assert np.isfinite(arrival[:-1]).all() and (np.diff(arrival[2:-2]) > 0).all()
    assert summary(dataclasses.replace(TOY, diameter_um=4 * 476.0))[VELOCITY] == pytest.approx(2 * result.summary[VELOCITY], rel=1e-9)
    cold = summary(dataclasses.replace(TOY, temperature_c=6.3))
    assert cold[VELOCITY] == pytest.approx(12.31, rel=0.01) and cold["peak_mv"] > result.summary["peak_mv"]


@pytest.mark.slow
def test_no_spike_travels_in_the_heat():
    hot = axon.run(dataclasses.replace(TOY, temperature_c=38.0, threshold="both"), Workspace(progress=False))
    assert hot.summary[VELOCITY] is None and "no spike travels" in hot.notes[0]
    assert "rheobase_ma" not in hot.summary


@pytest.mark.slow
def test_myelinated_fibres_conduct_by_their_diameter():
    thin, thick = (summary(dataclasses.replace(NODES, diameter_um=d, length_mm=3.0 * d))[VELOCITY] for d in (8.0, 16.0))
    assert thick == pytest.approx(2 * thin, rel=1e-6)
    assert thin == pytest.approx(45.4, rel=0.01)  # 5.68 m/s per um, extrapolated in the step


def test_thresholds_grow_with_distance_and_fall_with_duration():
    """Cathodes need less than anodes; less charge per pulse where it is short (Weiss); more current farther away."""
    given = dataclasses.replace(NODES, dt_ms=0.01, threshold="both", distances_mm=(0.5, 1.0, 2.0), durations_ms=(0.02, 0.05, 0.1, 0.3))
    result = axon.run(given, Workspace(progress=False))
    cathode, anode, duration = (np.asarray(result.dataset[f"{name}_threshold"]) for name in ("cathode", "anode", "duration"))
    assert (np.diff(cathode) > 0).all() and (np.diff(anode) > 0).all()
    assert (anode / cathode > 3).all() and (anode / cathode < 8).all()
    assert (np.diff(duration) < 0).all() and (np.diff(duration * given.durations_ms) > 0).all()
    assert duration[2] == pytest.approx(cathode[1], rel=1e-3)
    assert 0.01 < result.summary["chronaxie_ms"] < 0.1
    assert result.summary["cathode_threshold_ma_at_1_mm"] == pytest.approx(0.205, rel=0.01)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"diameter_um": 1.0, "axon": "myelinated"}, "2 to 30"),
        ({"diameter_um": float("nan")}, "finite|0 to 2000"),
        ({"compartments": 3}, "20 to 20000"),
        ({"dt_ms": 0.0}, "0.0001 to 0.05"),
        ({"distances_mm": ()}, "at least 1"),
        ({"distances_mm": (1.0, 1.0)}, "different"),
        ({"durations_ms": (0.1,)}, "at least 2"),
        ({"length_mm": 1.0, "axon": "myelinated"}, "10 to 2000 spaces"),
        ({"compartments": 20_000, "dt_ms": 1e-4}, "longer step"),
    ],
)
def test_bad_options_are_one_line(change, words):
    with pytest.raises(InputError, match=words) as caught:
        summary(dataclasses.replace(TOY, **change))
    assert "\n" not in str(caught.value)
