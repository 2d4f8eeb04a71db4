"""Rush-Larsen on cells converges to an independent integrator at its order, where the rates are smooth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics import CELL_MODELS
from tests.problems import number, quick_jit, slope

SPAN = 10.0
COUNTS = (80, 160, 320, 640)
STIFF = (640, 1280, 2560, 5120)  # for channel states that exchange at hundreds per ms, which coarser steps damp out


def smooth_part(cell):
    """A start from which all of the span is on one side of each branch of the rates, and its exact end.

    For the large model thirty ms after an upstroke; for the small ones the upstroke, since on their plateau nothing moves.
    """
    rate = jax.jit(lambda state, current: cell.rate(state, number(0.0), current))
    small = len(cell.names) == 2
    state = np.array([0.5, 0.8]) if small else np.asarray(cell.initial_state())
    for stop, current in () if small else ((1.0, 52.0), (30.0, 0.0)):
        state = solve_ivp(lambda _, u, c=current: np.asarray(rate(u, c)), (0, stop), state, method="LSODA", rtol=1e-8, atol=1e-11).y[:, -1]
    exact = solve_ivp(lambda _, u: np.asarray(rate(u, 0.0)), (0, SPAN), state, method="LSODA", rtol=1e-12, atol=1e-14).y[:, -1]
    return jnp.asarray(state), exact


ORDERED = ["mitchell_schaeffer", "aliev_panfilov", "ten_tusscher_2006_epi", "ten_tusscher_2006_endo", "ohara_rudy_cipa_2017_endo"]


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.quick(2)
def test_order(name):
    cell = CELL_MODELS[name]()
    start, exact = smooth_part(cell)
    counts = STIFF if "cipa" in name else COUNTS
    for accuracy in (1, 2):
        stepper, errors = cell.paced(None, accuracy), []
        for count in counts:
            length = number(SPAN / count)

            def whole(state, count=count, length=length, stepper=stepper):
                return jax.lax.fori_loop(0, count, lambda i, u: stepper.advance(u, i * length, length), state)

            errors.append(float(np.max(np.abs(np.asarray(quick_jit(whole)(start)) - exact) / (np.abs(exact) + 1e-9))))
        assert errors[0] > 1e-8, errors
        assert slope([SPAN / count for count in counts], errors) == pytest.approx(accuracy, abs=0.2), errors
