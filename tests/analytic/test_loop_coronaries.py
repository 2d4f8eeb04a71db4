"""Coronary beds in the closed loop: blood is kept, mean flow has a closed form, most of it comes in diastole; slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.circuit_blocks import KINDS
from physics.circuit_cycle import periodic_run
from physics.circuit_netlist import Block, assemble
from physics.circuit_waveform import fourier
from physics.closed_loop import closed_loop, filled, periodic_beat, regazzoni_values
from physics.loop_coronaries import coronary_beat, coronary_values, loop_with_coronaries
from tests.problems import quick_jit

VALUES = regazzoni_values()
STEPS = 100


@pytest.fixture(scope="module")
def beat():
    circuit = loop_with_coronaries(VALUES, coronary_values(), VALUES["period"] / STEPS)
    assert circuit.closed
    return jax.jit(lambda c: coronary_beat(c, VALUES, STEPS))(circuit)


@pytest.mark.slow
def test_flow_of_the_mean_is_that_of_resistances(beat):
    """Over a beat that repeats itself nothing is stored, so that means obey Ohm's law from the root to the atrium, whatever squeezes."""
    assert int(beat.status) == 0
    entering, draining = (np.asarray(flow)[:, 1:].mean(axis=1) for flow in (beat.entering, beat.draining))
    np.testing.assert_allclose(entering, draining, rtol=1e-6)
    ratio = coronary_values()["right_resistance"] / coronary_values()["left_resistance"]
    assert entering[0] / entering[1] == pytest.approx(ratio, rel=1e-6)
    share = entering.sum() / np.asarray(beat.ejected)[1:].mean()
    assert 0.02 < share < 0.06  # published: 4 to 5 % of the output at rest


@pytest.mark.slow
def test_the_left_bed_is_perfused_in_diastole(beat):
    """Muscle holds back the left inflow in systole and pushes the veins' outflow: opposite phases; the right bed is less phasic."""
    left, right = np.asarray(beat.entering)[:, 1:]
    pressure = np.asarray(beat.cavity)[0, 1:]
    systole = pressure > 0.25 * pressure.max()
    assert left[~systole].mean() > 1.2 * left[systole].mean()
    assert right[~systole].mean() < left[~systole].mean() / left[systole].mean() * right[systole].mean()
    drained = np.asarray(beat.draining)[0, 1:]
    assert drained[systole].mean() > 2 * drained[~systole].mean()


@pytest.mark.slow
def test_the_circuit_converges_and_is_the_loop_of_compartments(beat):
    """Two methods with other valves: pressures within 4 %, output within 4 % (valves of a tenth of the inertia in the compartments)."""
    values = VALUES | {"valve_inertance": 5e-5}
    loop = closed_loop(values)
    other = jax.jit(lambda: periodic_beat(loop, filled(loop, values["blood_volume"]), values["period"], 800))()
    pressure = np.asarray(other.pressures)
    assert np.asarray(beat.cavity)[0].max() == pytest.approx(pressure[:, loop.index("left_ventricle")].max(), rel=0.04)
    assert np.asarray(beat.aortic).min() == pytest.approx(pressure[:, loop.index("systemic_arteries")].min(), rel=0.04)
    output = float(other.flows[1:, loop.flows.index("aortic")].mean())
    assert np.asarray(beat.ejected)[1:].mean() == pytest.approx(output, rel=0.04)


def test_both_kinds_of_a_bed_have_the_same_equations():
    """The one at an end, which is equal to svZeroDSolver's, and the one in a loop, at any state; it takes nothing from the ventricle."""
    random = np.random.default_rng(0)
    p, u, r = (list(jnp.asarray(random.uniform(0.5, 2.0, size))) for size in (6, 7, 7))
    balance, drop, drained, sensed = KINDS["coronary_bed"].equations(p, u, r, [])
    out = (p[5] * u[2] + u[6] / p[4] - u[4]) / p[2]
    level = [*u[:2], u[6]], [*r[:2], r[6]]
    other = KINDS["coronary"].equations(p[:5], *level, [p[5] * u[2], u[4]])
    np.testing.assert_allclose([balance + u[5] - out, drop + p[1] * (u[5] - out)], other, rtol=1e-12)
    assert float(drained) == pytest.approx(float(p[2] * (out - u[5]))) and sensed is u[3]
    kept = [KINDS[name].stored(p, state) for name, state in (("coronary_bed", u), ("coronary", level[0]))]
    assert float(kept[0]) == pytest.approx(float(kept[1]))


def test_the_loop_with_coronaries_is_closed_and_holds_its_blood():
    circuit = loop_with_coronaries(VALUES, coronary_values(), VALUES["period"] / STEPS)
    assert circuit.closed and float(circuit.value("left_coronary.muscle_share")) == 1
    assert {"flow:root:left_coronary", "flow:right_coronary:sinus", "pressure:aortic:root"} <= set(circuit.names)


def driven(bed):
    """A bed between given pressures, muscle included; as the end of a branch, or with a vein and a sensing inlet."""
    period = 0.8
    aorta = fourier(95.0, [-8.0, 3.0], [12.0, 4.0], period, 81)
    squeeze = fourier(40.0, [-45.0, 8.0], [30.0, 6.0], period, 81)
    values = {"arterial_resistance": 15.0, "micro_resistance": 25.0, "venous_resistance": 8.0, "arterial_compliance": 0.006,
              "intramyocardial_compliance": 0.05}  # fmt: skip
    blocks = [Block("root", "pressure_source", {}, {"pressure": aorta})]
    if bed == "coronary":
        half = fourier(20.0, [-22.5, 4.0], [15.0, 3.0], period, 81)
        blocks.append(Block("bed", "coronary", values, {"intramyocardial_pressure": half, "venous_pressure": 5.0}))
        return assemble(blocks, [("root", "bed")], period)
    blocks += [
        Block("cavity", "pressure_source", {}, {"pressure": squeeze}),
        Block("bed", "coronary_bed", values | {"muscle_share": 0.5}),
        Block("vein", "resistance", {"resistance": 0.0}, {"distal_pressure": 5.0}),
    ]
    return assemble(blocks, [("root", "bed"), ("cavity", "bed"), ("bed", "vein")], period)


@pytest.mark.slow
def test_a_bed_in_a_loop_is_the_bed_at_an_end():
    """The two kinds are one model, of which the second is equal to svZeroDSolver's."""
    flows = {}
    for bed in ("coronary", "coronary_bed"):
        circuit = driven(bed)
        run = quick_jit(lambda c: periodic_run(c, c.start(pressure=50.0), 40, period=0.8))(circuit)
        run.raise_for_status()
        flows[bed] = np.asarray(run.states[:, circuit.index("flow:root:bed")])
        if bed == "coronary_bed":
            assert np.abs(np.asarray(run.states[:, circuit.index("flow:cavity:bed")])).max() < 1e-12
    np.testing.assert_allclose(flows["coronary_bed"], flows["coronary"], rtol=1e-8)


@pytest.mark.slow
def test_slopes_of_a_bed():
    circuit = driven("coronary_bed")

    def mean_square(values):
        changed = circuit.with_values({"bed.micro_resistance": values[0], "bed.muscle_share": values[1]})
        run = periodic_run(changed, changed.start(pressure=50.0), 20, period=0.8)
        return jnp.mean(run.states[1:, circuit.index("flow:root:bed")] ** 2)

    point = jnp.array([25.0, 0.5])
    value, slopes = quick_jit(mean_square), quick_jit(jax.grad(mean_square))(point)
    for place in range(2):
        step = 1e-4 * point[place] * jnp.eye(2)[place]
        difference = (value(point + step) - value(point - step)) / (2 * step[place])
        assert float(slopes[place]) == pytest.approx(float(difference), rel=1e-6)
