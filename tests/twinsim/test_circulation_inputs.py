"""Netlists, svZeroD files and pressure records: what is read, and what is refused in one line."""

import copy
import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from physics import Block, assemble, constant, waveform
from physics.closed_loop import closed_loop, filled, regazzoni_values, run_beats
from physics.compartments import compartments
from tests.svzerod_cases import CASES
from twinsim.errors import InputError
from twinsim.pressure_record import onsets_around, r_waves, read_pressures, useless
from twinsim.svzerod_file import read_svzerod
from twinsim.wfdb_record import read_wfdb

SOURCE = Block("heart", "flow_source", {}, {"flow": 50.0})
END = Block("end", "resistance", {"resistance": 1.0}, {"distal_pressure": 0.0})
PIPE = Block("pipe", "vessel", {"resistance": 0.1})
LINKS = [("heart", "pipe"), ("pipe", "end")]


@pytest.mark.parametrize(
    ("blocks", "links", "words"),
    [
        ([SOURCE, Block("pipe", "vesel"), END], LINKS, "do: use vessel"),
        ([SOURCE, Block("pipe", "vessel", {"resistanse": 1.0}), END], LINKS, "do: use resistance"),
        ([SOURCE, Block("pipe", "vessel", {"resistance": -0.1}), END], LINKS, "got resistance -0.1 of 'pipe'; expected 0 or above"),
        ([Block("heart", "flow_source"), PIPE, END], LINKS, "without data for flow"),
        ([SOURCE, PIPE, Block("end", "resistance", {}, {"distal_pressure": 0.0})], LINKS, "without resistance"),
        ([SOURCE, PIPE, END], [("heart", "pipe"), ("pipe", "ned")], "do: use end"),
        ([SOURCE, PIPE, END], [("heart", "pipe")], "block 'pipe' with 1 inlets and 0 outlets"),
        ([SOURCE, PIPE, END, SOURCE], LINKS, "two blocks named 'heart'"),
        ([SOURCE, PIPE, END, replace(SOURCE, name="a"), replace(END, name="b")],
         [*LINKS, ("a", "b")], "got a netlist in parts"),
        ([SOURCE, Block("end", "valve_orifice")], [("heart", "end")], "without open_area"),
        ([], [], "no blocks"),
    ],
)  # fmt: skip
def test_a_netlist_is_refused(blocks, links, words):
    with pytest.raises(ValueError, match="expected") as caught:
        assemble(blocks, links)
    assert words in str(caught.value) and "do: " in str(caught.value) and "\n" not in str(caught.value)


def test_flow_forced_from_both_ends_is_refused():
    """Two sources and no way for the difference: nothing sets the pressure."""
    other = Block("pump", "flow_source", {}, {"flow": 50.0})
    with pytest.raises(ValueError, match="singular"):
        assemble([SOURCE, other, Block("meet", "junction"), Block("sink", "junction")],
                 [("heart", "meet"), ("pump", "meet"), ("meet", "sink")])  # fmt: skip


@pytest.mark.parametrize(
    ("times", "values", "words"),
    [
        ([0.0, 0.5, 1.0], [1.0, 2.0, 1.5], "expected a periodic one"),
        ([0.0, 0.0, 1.0], [1.0, 2.0, 1.0], "do not increase"),
        ([0.0, 1.0], [1.0, np.nan], "not finite"),
        ([0.0, 1.0], [1.0, 2.0, 1.0], "one length"),
    ],
)
def test_a_waveform_is_refused(times, values, words):
    with pytest.raises(ValueError, match=words):
        waveform(times, values)


def test_waveforms_repeat():
    wave = waveform([0.0, 0.25, 1.0], [0.0, 1.0, 0.0])
    np.testing.assert_allclose([wave.at(jnp.asarray(t)) for t in (0.125, 1.125, 0.625)], [0.5, 0.5, 0.5], atol=1e-12)
    assert constant(3.0).at(jnp.asarray(7.0)) == 3.0


def test_compartments_are_refused():
    elastic, active, branch = [[1.0, 1.0], [0.0, 0.0]], [[1.0], [0.0], [0.3], [0.2]], [[1.0, 1.0], [0.1, 0.1]]
    good = [("out", "a", "b", True), ("back", "b", "a", False)]
    assert compartments(["a", "b"], good, elastic, active, branch).valves == (True, False)
    for branches, values, words in (
        ([("out", "a", "bb", True), good[1]], branch, "expected a compartment"),
        ([good[0], ("back", "a", "b", False)], branch, "cannot enter and leave"),
        (good, [[1.0, 1.0], [0.1, 0.0]], "above 0"),
    ):
        with pytest.raises(ValueError, match=words):
            compartments(["a", "b"], branches, elastic, active, values)
    loop = closed_loop(regazzoni_values())
    with pytest.raises(ValueError, match="do not increase"):
        run_beats(loop, filled(loop, 3025.0), jnp.array([0.0, 0.8, 0.7]), 10)
    with pytest.raises(ValueError, match="left_atrium"):
        loop.index("left_atrum")


def changed(name, path, value):
    data = copy.deepcopy(CASES[name])
    at = data
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed("RCR", ("boundary_conditions", 1, "bc_type"), "RCRR"), "did you mean 'RCR'"),
        (changed("RLC", ("vessels", 0, "zero_d_element_type"), "BloodVesel"), "did you mean 'BloodVessel'"),
        (changed("RLC", ("vessels", 0, "zero_d_element_values", "R"), 1.0), "R_poiseuille"),
        (changed("RLC", ("vessels", 0, "zero_d_element_values", "R_poiseuille"), -80.0), "resistance -80"),
        (changed("RLC", ("boundary_conditions", 0, "bc_values", "Q"), None), "no Q"),
        (changed("RLC", ("boundary_conditions", 0, "bc_values", "Q", 40), 3.0), "expected a periodic one"),
        (changed("RLC", ("vessels", 0, "boundary_conditions"), {"inlet": "INFLOW"}), "1 inlets and 0 outlets"),
        (changed("bifurcation", ("junctions", 0, "outlet_vessels"), [1, 7]), "vessel 7"),
        (changed("closed loop", ("valves", 0, "type"), "ValveTan"), "did you mean 'ValveTanh'"),
        (changed("closed loop", ("closed_loop_blocks",), []), "closed_loop_blocks"),
        (changed("RLC", ("simulation_parameters",), None), "simulation_parameters"),
    ],
)
def test_a_svzerod_file_is_refused(data, words):
    with pytest.raises(InputError) as caught:
        read_svzerod(data)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_svzerod_file_is_read(tmp_path):
    path = tmp_path / "case.json"
    path.write_text(json.dumps(CASES["bifurcation"]))
    case = read_svzerod(path)
    assert (case.steps, case.cycles) == (100, 30) and "flow:v0:J0" in case.circuit.names
    assert float(case.circuit.value("v1.stenosis")) == 1.0
    path.write_text("{")
    with pytest.raises(InputError, match="line 1"):
        read_svzerod(path)
    with pytest.raises(InputError, match="JSON file"):
        read_svzerod(tmp_path / "none.json")


def test_useless_stretches_of_a_pressure():
    values = 60 + 20 * np.sin(np.arange(500) / 10)
    values[100:140] = values[100]  # a disconnected line holds still
    values[200:205] = -3.0
    values[300] = np.nan
    values[400:404] = values[400]  # a plateau of 24 ms is none
    bad = useless(values, 125.0)
    assert bad[101:139].all() and bad[200:205].all() and bad[300]
    assert not bad[402] and bad.sum() <= 40 + 5 + 1


def test_r_waves_of_a_synthetic_lead():
    rate, beats = 500.0, np.array([0.3, 1.1, 1.8, 2.7])
    times = np.arange(1600) / rate
    for sign in (1.0, -1.0):
        lead = sum(sign * np.exp(-0.5 * ((times - b) / 0.012) ** 2) + 0.2 * np.exp(-0.5 * ((times - b - 0.25) / 0.05) ** 2) for b in beats)
        np.testing.assert_allclose(r_waves(lead + 0.3 * np.sin(times), rate), beats, atol=0.004)
    onsets = onsets_around(beats, 3.2)
    assert onsets[0] < 0 and onsets[-1] > 3.2 and (np.diff(onsets) > 0).all() and set(beats) <= set(onsets)


def test_wfdb_refuses(tmp_path):
    with pytest.raises(InputError, match="WFDB header"):
        read_wfdb(tmp_path / "none")
    (tmp_path / "a.hea").write_text("nothing here\n")
    with pytest.raises(InputError, match="no WFDB header"):
        read_wfdb(tmp_path / "a")
    (tmp_path / "b.hea").write_text("b 1 100 4\nb.dat 80 200 12 0 0 0 0 ECG\n")
    with pytest.raises(InputError, match="212 or 16"):
        read_wfdb(tmp_path / "b")
    (tmp_path / "c.hea").write_text("c 2 100 2\nc.dat 212 200 12 0 0 0 0 one\nc.dat 212 10(-5)/mmHg 12 0 0 0 0 two\n")
    with pytest.raises(InputError, match="put them beside it"):
        read_wfdb(tmp_path / "c")
    # Samples 100, -1, -2048 (missing), 2047 packed in twelve bits.
    np.array([100, 0xF0, 0xFF, 0x00, 0x78, 0xFF], np.uint8).tofile(tmp_path / "c.dat")
    record = read_wfdb(tmp_path / "c")
    np.testing.assert_allclose(record.signal("one").values, [0.5, np.nan])
    np.testing.assert_allclose(record.signal("two").values, [0.4, 205.2])
    with pytest.raises(InputError, match="did you mean 'two'"):
        record.signal("tow")


@pytest.mark.needs_data
def test_mimic_041(dataset):
    record = read_pressures(dataset("wfdb") / "041s" / "041s01")
    assert len(record.beats) == 13 and record.masked == {"ABP": 0.0, "PAP": 0.0}
    assert np.nanmin(record.systemic) == 41.25 and np.nanmax(record.pulmonary) == pytest.approx(32.6875)
