"""Restitution at toy size."""

import dataclasses

import pytest

from experiments.cardiac.restitution import Config, run
from physics import MitchellSchaeffer
from tests.problems import number
from twinsim.errors import InputError
from twinsim.workspace import Workspace

TOY = Config(beats=2, intervals_ms=(10.0, 50.0, 200.0), dt_ms=0.05)


@pytest.mark.slow
def test_premature_beats_of_the_epicardial_cell(tmp_path):
    """CVODE on myokit's equations gives 307.856 ms and -85.4768 mV for the second beat (tests/versus/ten_tusscher_2006.json)."""
    result = run(TOY, Workspace(tmp_path, progress=False))
    summary = result.summary
    assert summary["apd90_ms"] == pytest.approx(307.856, abs=0.1)
    assert summary["resting_potential_mv"] == pytest.approx(-85.4768, abs=1e-3)
    assert 30 < summary["peak_mv"] < 45 and 300 < summary["max_upstroke_v_per_s"] < 420
    assert summary["apd90_ms_at_di_10"] is None  # still refractory
    assert 150 < summary["apd90_ms_at_di_50"] < summary["apd90_ms_at_di_200"] < summary["apd90_ms"]
    assert 0.3 < summary["largest_restitution_slope"] < 1.5


def test_dynamic_pacing_of_the_simplest_cell_follows_its_closed_form(tmp_path):
    """A steady beat at cycle length T lasts f(T - APD) with the restitution curve f and, at every T alike, the fast phases."""
    config = dataclasses.replace(TOY, cell_model="mitchell_schaeffer", protocol="dynamic", beats=12, cycle_lengths_ms=(600.0, 500.0))
    summary = run(config, Workspace(tmp_path, progress=False)).summary
    assert summary["apd90_ms_at_cl_1000"] > summary["apd90_ms_at_cl_600"] > summary["apd90_ms_at_cl_500"] > 150
    assert summary["alternans_ms_at_cl_500"] < 0.1
    cell = MitchellSchaeffer.published()
    durations = {length: summary[f"apd90_ms_at_cl_{length}"] for length in (1000, 600, 500)}
    fast = [duration - float(cell.duration_after(number(length - duration))) for length, duration in durations.items()]
    assert max(fast) - min(fast) < 0.1 * (durations[1000] - durations[500])


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("cell_model", "ten_tuscher_2006_epi", "ten_tusscher_2006_epi"),
        ("beats", 0, "at least 1"),
        ("cycle_length_ms", 1.0, "from 50 to 10000 ms"),
        ("cycle_lengths_ms", (500.0, 500.0), "different"),
        ("intervals_ms", (-5.0,), "above 0"),
        ("stimulus_a_per_f", -52.0, "positive depolarises"),
        ("stimulus_duration_ms", 0.0, "up to 20 ms"),
        ("dt_ms", 0.5, "0.0005 to 0.1 ms"),
    ],
)
def test_bad_options_are_refused_in_one_line(option, value, expected):
    with pytest.raises(InputError, match=expected) as caught:
        run(dataclasses.replace(TOY, **{option: value}), Workspace(progress=False))
    assert "\n" not in str(caught.value)


def test_a_cycle_too_short_for_premature_beats_is_refused():
    with pytest.raises(InputError, match="longer cycle-length-ms"):
        run(dataclasses.replace(TOY, cell_model="mitchell_schaeffer", beats=1, cycle_length_ms=200.0), Workspace(progress=False))


@pytest.mark.needs_data
@pytest.mark.slow
def test_a_real_record_paces_the_cell(dataset, tmp_path):
    """MIT-BIH 100 at toy size: its eighth beat is premature, and the action potential after the short rest is the shortest."""
    dataset("wfdb")
    config = dataclasses.replace(TOY, protocol="record", cell_model="mitchell_schaeffer", record_beats=14, dt_ms=0.1)
    result = run(config, Workspace(tmp_path, progress=False))
    summary, series = result.summary, result.dataset
    assert summary["beats"] == 13 and summary["beats_not_normal"] == 1 and summary["beats_without_a_duration"] == 0
    early = int((series["record_kind"].values == "A").argmax())
    assert series["record_duration"].values.argmin() == early and series["record_interval"].values.argmin() == early
    assert 0 < summary["restitution_slope"] < 1 and summary["correlation_of_duration_with_diastolic_interval"] > 0.8
    # The rest before a beat and the action potential before it make up the interval, but for the upstroke's own time.
    rest, last = series["record_diastolic"].values[1:], series["record_duration"].values[:-1]
    assert abs(rest + last - series["record_interval"].values[1:]).max() < 10
    # Beat by beat the durations lie on the cell's closed form, shifted by the fast phases.
    cell = MitchellSchaeffer.published()
    excess = [d - float(cell.duration_after(number(r))) for r, d in zip(rest, series["record_duration"].values[1:], strict=True)]
    assert max(excess) - min(excess) < 8


def test_a_record_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("TWINSIM_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"no data set wfdb.*TWINSIM_DATA"):
        run(dataclasses.replace(TOY, protocol="record"), Workspace(progress=False))
