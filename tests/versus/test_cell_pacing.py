"""Biomarkers of paced cells: against CVODE on myokit's equations (stored numbers), and against LSODA read off by root finding."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, minimize_scalar

from physics import CELL_MODELS, RectangularPulse, action_potential
from solvers import simulate, time_mesh
from tests.problems import number, quick_jit
from tests.versus.test_cells import with_dofetilide

HERE = Path(__file__).parent
# Amplitude, duration and period are the same in every stored file. Step in ms: where rates jump, an error of first order remains.
FAMILIES = {
    "ten_tusscher_2006": 0.01,
    "bueno_orovio_2008": 0.002,
    "courtemanche_1998": 0.005,
    "ohara_rudy_2011": 0.01,
    "ohara_rudy_cipa_2017": 0.01,
    "tor_ord_2019": 0.01,
}
STORED = {family: json.loads((HERE / f"{family}.json").read_text()) for family in FAMILIES}
AMPLITUDE, DURATION, PERIOD = (STORED["ten_tusscher_2006"]["pacing"][name] for name in ("stimulus_a_per_f", "duration_ms", "period_ms"))
EVERY = [(family, layer) for family in FAMILIES for layer in STORED[family]["paced"]]


def lsoda(cell, state, beats):
    """The last beat's two solutions, with and without stimulus, after beats at tight tolerance."""
    rate = jax.jit(lambda state, current: cell.rate(state, number(0.0), current))
    for _ in range(beats):
        parts = []
        for start, stop, current in ((0.0, DURATION, AMPLITUDE), (DURATION, PERIOD, 0.0)):
            part = solve_ivp(
                lambda _, u, current=current: np.asarray(rate(u, current)),
                (start, stop),
                state,
                method="LSODA",
                rtol=1e-9,
                atol=1e-12,
                dense_output=True,
            )
            assert part.success
            parts.append(part)
            state = part.y[:, -1]
    return parts, rate


def exact_biomarkers(cell, start, beats):
    parts, rate = lsoda(cell, np.asarray(start), beats)

    def voltage(time):
        return float(cell.millivolts(jnp.asarray(parts[0 if time < DURATION else 1].sol(time))))

    def slope(time):
        current = AMPLITUDE if time < DURATION else 0.0
        return float(rate(jnp.asarray(parts[0 if time < DURATION else 1].sol(time)), current)[0]) * scale

    scale = float(cell.millivolts(jnp.ones((len(cell.names),))) - cell.millivolts(jnp.zeros((len(cell.names),))))
    coarse = np.linspace(0.0, 20.0, 801)
    # On each side of the end of the stimulus, where the slope jumps.
    steepest = coarse[np.argmax([slope(time) for time in coarse])]
    low, high = (max(0.0, steepest - 0.05), min(DURATION - 1e-9, steepest + 0.05)) if steepest < DURATION else (DURATION, steepest + 0.05)
    upstroke = minimize_scalar(lambda time: -slope(time), bounds=(low, high), method="bounded", options={"xatol": 1e-7})
    top = coarse[np.argmax([voltage(time) for time in coarse])]
    later = np.linspace(20.0, PERIOD, 2000)
    highest = max(later, key=voltage)
    top = top if voltage(top) >= voltage(highest) else highest
    peak = minimize_scalar(lambda time: -voltage(time), bounds=(top - 0.6, top + 0.6), method="bounded", options={"xatol": 1e-7})
    resting = voltage(0.0)
    level = -peak.fun - 0.9 * (-peak.fun - resting)
    end = brentq(lambda time: voltage(time) - level, 100.0, PERIOD, xtol=1e-9)
    return {"duration": end - upstroke.x, "resting": resting, "peak": -peak.fun, "max_upstroke": -upstroke.fun}


def found_biomarkers(cell, start, beats, step):
    pulse = RectangularPulse(number(AMPLITUDE), number(DURATION))
    mesh = time_mesh(0.0, [PERIOD], step, breakpoints=[DURATION])
    compiled = jax.jit if beats > 10 else quick_jit  # many beats repay the compiler's optimisations
    beat = compiled(lambda state: simulate(cell.paced(pulse), state, mesh, observe=lambda _, seen: cell.millivolts(seen)))
    before = after = start
    for _ in range(beats):
        before = after
        solution = beat(before)
        solution.raise_for_status()
        after = solution.final
    times = jnp.concatenate([jnp.zeros(1), mesh.times])
    return action_potential(times, jnp.concatenate([cell.millivolts(before)[None], solution.observations]))


def compare(found, exact):
    assert set(exact) == {"duration", "resting", "peak", "max_upstroke"}
    for key, value in exact.items():
        assert float(getattr(found, key)) == pytest.approx(value, rel=1e-3), key


@pytest.mark.parametrize("name", ["mitchell_schaeffer", "aliev_panfilov"])
@pytest.mark.quick(1)
def test_the_second_beat_of_small_models_within_a_thousandth(name):
    cell = CELL_MODELS[name]()
    compare(found_biomarkers(cell, cell.initial_state(), 2, 0.01), exact_biomarkers(cell, cell.initial_state(), 2))


def beat(family, layer, beats):
    stored = STORED[family]
    name = f"{family}_{layer}" if layer else family
    cell = with_dofetilide() if name == "ohara_rudy_cipa_2017_endo_dofetilide" else CELL_MODELS[name]()
    compare(found_biomarkers(cell, jnp.asarray(stored["start"]), beats, FAMILIES[family]), stored["paced"][layer][str(beats)])


@pytest.mark.parametrize(("family", "layer"), [pair for pair in EVERY if pair[1] != "mid"])
@pytest.mark.quick(1)
def test_an_early_beat_within_a_thousandth_of_cvode(family, layer):
    beat(family, layer, 2 if family in ("ten_tusscher_2006", "ohara_rudy_2011") else 1)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "layer"), EVERY)
def test_the_last_stored_beat_within_a_thousandth_of_cvode(family, layer):
    """The hundredth, of ToR-ORd the twentieth."""
    beat(family, layer, max(int(number) for number in STORED[family]["paced"][layer]))
