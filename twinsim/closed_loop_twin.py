"""A closed loop fitted to two pressures: priors within cited bounds, and what a monitor shows of the loop."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.closed_loop import REGAZZONI_2022, closed_loop, filled, periodic_beat, regazzoni_values, run_beats
from twinsim.inference import Normal, Problem, series
from twinsim.pressure_record import PressureRecord, onsets_around
from twinsim.prior import Prior, Values

STEPS = 100
"""Per beat."""

FITTED = (
    "blood_volume",
    "left_ventricle_active_elastance",
    "right_ventricle_active_elastance",
    "left_ventricle_passive_elastance",
    "right_ventricle_passive_elastance",
    "left_ventricle_contraction_time",
    "right_ventricle_contraction_time",
    "left_ventricle_relaxation_time",
    "right_ventricle_relaxation_time",
    "systemic_arteries_compliance",
    "systemic_arteries_resistance",
    "systemic_arteries_inertance",
    "pulmonary_arteries_compliance",
    "pulmonary_arteries_resistance",
    "pulmonary_arteries_inertance",
    "pulmonary_veins_compliance",
    "pulmonary_veins_resistance",
    "valve_open_resistance",
    "valve_inertance",
)

_LINE = (
    "fluid-filled lines have natural frequencies of 5 to 25 Hz and dampings of 0.1 to 1, Gardner (1981), Anesthesiology 54, 227; "
    "with the arm's arteries before them the first resonance is at 3 to 6 Hz, O'Rourke (1970), Cardiovasc. Res. 4, 291"
)


def _bounded(name: str, unit: str, median: float, low: float, high: float, source: str, spread: float = 1.0) -> Prior:
    return Prior(name, unit, median, spread, "logit", source, low, high)


def _of_paper(name: str) -> Prior:
    one = REGAZZONI_2022[name]
    return _bounded(name, one.unit, one.value, *one.bounds, one.source)


PRIORS: tuple[Prior, ...] = (
    *(_of_paper(name) for name in FITTED),
    _bounded(
        "contraction_delay",
        "s",
        0.04,
        0.0,
        0.12,
        "electromechanical delay from the R wave 20 to 80 ms, Weissler (1968), Circulation 37, 149",
    ),
    _bounded("systemic_delay", "s", 0.1, 0.0, 0.25, "aorta to radial artery 0.6 m at 5 to 10 m/s, and the line"),
    _bounded("systemic_frequency", "Hz", 4.0, 1.5, 20.0, _LINE),
    _bounded("systemic_damping", "1", 0.4, 0.05, 1.5, _LINE),
    _bounded("pulmonary_delay", "s", 0.03, 0.0, 0.2, "a line of a metre, and the monitor's filter"),
    _bounded("pulmonary_frequency", "Hz", 8.0, 1.5, 25.0, _LINE),
    _bounded("pulmonary_damping", "1", 0.4, 0.05, 1.5, _LINE),
    Prior("systemic_error", "mmHg", 4.0, 1.0, "log", "what the model leaves, and noise; weakly informative"),
    Prior("pulmonary_error", "mmHg", 3.0, 1.0, "log", "what the model leaves, and noise; weakly informative"),
)


def loop_values(values: Values, period: float | Array) -> dict[str, Any]:
    """All values of the closed loop from the fitted ones."""
    found: dict[str, Any] = dict(regazzoni_values())
    found |= {name: values[name] for name in FITTED if name in values}
    found["period"] = period
    for side in ("left", "right"):
        found[f"{side}_ventricle_contraction_start"] = values["contraction_delay"] / period
    return found


def line_response(signal: Float[Array, " samples"], step: float, frequency: Array, damping: Array) -> Float[Array, " samples"]:
    r"""$\ddot y + 2\zeta\omega\dot y + \omega^2 y = \omega^2 x$ for $x$ linear between samples, by the trapezoidal rule; starts at rest."""
    omega = 2 * jnp.pi * frequency
    a = jnp.stack([jnp.stack([jnp.zeros(()), jnp.ones(())]), jnp.stack([-(omega**2), -2 * damping * omega])])
    left = jnp.eye(2) - 0.5 * step * a
    determinant = left[0, 0] * left[1, 1] - left[0, 1] * left[1, 0]
    inverse = jnp.stack([jnp.stack([left[1, 1], -left[0, 1]]), jnp.stack([-left[1, 0], left[0, 0]])]) / determinant
    move = inverse @ (jnp.eye(2) + 0.5 * step * a)
    push = inverse @ jnp.stack([jnp.zeros(()), 0.5 * step * omega**2])

    def advance(state: Array, pair: Array) -> tuple[Array, Array]:
        state = move @ state + push * pair
        return state, state[0]

    first = jnp.stack([signal[0], jnp.zeros(())])
    _, rest = jax.lax.scan(advance, first, signal[1:] + signal[:-1])
    return jnp.concatenate([signal[:1], rest])


def monitored(values: Values, times: tuple[Array, ...], record: dict[str, Array]) -> tuple[Array, ...]:
    """Systemic and pulmonary arterial pressure as a monitor shows them, at times (s) of the record."""
    onsets = record["onsets"]
    period = record["period"]
    loop = closed_loop(loop_values(values, period))
    start = periodic_beat(loop, filled(loop, values["blood_volume"]), period, STEPS, settle=6, iterations=6).final
    run = run_beats(loop, start, onsets, STEPS)
    step = 0.004
    grid = record["grid"]
    shown = []
    for side, vessel, at in (("systemic", "systemic_arteries", times[0]), ("pulmonary", "pulmonary_arteries", times[1])):
        pressure = jnp.interp(grid, run.times, run.pressures[:, loop.index(vessel)])
        line = line_response(pressure, step, values[f"{side}_frequency"], values[f"{side}_damping"])
        shown.append(jnp.interp(at - values[f"{side}_delay"], grid, line))
    return tuple(shown)


def pressure_problem(record: PressureRecord, until: float, every: int = 2) -> Problem:
    """The fit of a record up to a time; later samples are gaps. Every so many samples: neighbours say the same twice.

    Args:
        record: From :func:`twinsim.pressure_record.read_pressures`.
        until: s.
        every: Samples from one that is used to the next.
    """
    onsets = onsets_around(record.beats, float(record.times[-1]))
    grid = np.arange(onsets[0], record.times[-1] + 0.1, 0.004)
    times = record.times[::every]
    kinds = []
    for name, values, scale in (
        ("systemic pressure", record.systemic, "systemic_error"),
        ("pulmonary pressure", record.pulmonary, "pulmonary_error"),
    ):
        seen = np.where(times < until, values[::every], np.nan)
        kinds.append(series(times, seen, Normal(scale), name, "mmHg"))  # pyright: ignore[reportCallIssue]
    period = float(np.median(np.diff(record.beats)))
    extra = {"onsets": jnp.asarray(onsets), "period": jnp.asarray(period), "grid": jnp.asarray(grid)}
    return Problem(PRIORS, monitored, tuple(kinds), extra)
