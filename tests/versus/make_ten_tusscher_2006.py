"""Makes ten_tusscher_2006.json: myokit's rates at random states, and biomarkers of its equations paced by CVODE.

Neither myokit nor scikit-sundae (CVODE of SUNDIALS) is among the project's requirements. In an environment of its own:

    python -m venv peers && peers/bin/pip install myokit scikit-sundae
    peers/bin/python tests/versus/make_ten_tusscher_2006.py tentusscher-2006.mmt

The model file is c/tentusscher-2006.mmt of the public repository github.com/myokit/models; pacing starts from its initial state.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import myokit
import numpy as np
from myokit.formats.python import PythonExpressionWriter
from sksundae.cvode import CVODE

LAYERS = {"endo": 0, "epi": 1, "mid": 2}
# Names of our components in the order of our state, as the model file calls them.
COMPONENTS = [
    *("membrane.V", "calcium.Cai", "calcium.CaSR", "calcium.CaSS", "sodium.Nai", "potassium.Ki"),
    *("ina.m", "ina.h", "ina.j", "ikr.xr1", "ikr.xr2", "iks.xs", "ito.r", "ito.s"),
    *("ical.d", "ical.f", "ical.f2", "ical.fCaSS", "jrel.R"),
]
STATES = 40
AMPLITUDE, DURATION, PERIOD = 52.0, 1.0, 1000.0  # A/F, ms, ms
MEASURED = (1, 2, 100)  # beats


def random_states() -> np.ndarray:
    """Voltages on both sides of -40 mV, concentrations over two decades, gates over their whole range; rows are states."""
    rng = np.random.default_rng(2006)
    columns = [rng.uniform(-100, 60, STATES)]
    for low, high in ((2e-5, 2e-3), (0.1, 6.0), (5e-5, 0.5), (4.0, 16.0), (110.0, 150.0)):
        columns.append(np.exp(rng.uniform(np.log(low), np.log(high), STATES)))
    columns.extend(rng.uniform(0, 1, STATES) for _ in range(13))
    return np.stack(columns, axis=1)


def compiled(model: myokit.Model, layer: int) -> Callable:
    """The model's equations as one Python function of time, state and result, with the stimulus as an attribute."""
    writer = PythonExpressionWriter()

    def name(expression: myokit.LhsExpression) -> str:
        prefix = "change_" if isinstance(expression, myokit.Derivative) else "value_"
        return prefix + expression.var().qname().replace(".", "__")

    writer.set_lhs_function(name)
    lines = [f"value_{component.replace('.', '__')} = float(y[{i}])" for i, component in enumerate(COMPONENTS)]
    for equations in model.solvable_order().values():
        for equation in equations:
            if equation.lhs.var().qname() == "cell.type":
                lines.append(f"value_cell__type = {layer}")
            elif equation.lhs.var().qname() == "stimulus.i_stim":
                lines.append("value_stimulus__i_stim = -pulse[0]")
            elif not equation.lhs.var().is_bound() or equation.lhs.var().qname() == "membrane.i_diff":
                lines.append(writer.eq(equation))
    lines.extend(f"yp[{i}] = change_{component.replace('.', '__')}" for i, component in enumerate(COMPONENTS))
    source = "def rate(t, y, yp):\n" + "".join(f"    {line}\n" for line in lines)
    scope = {"math": math, "pulse": [0.0]}
    exec(source, scope)
    scope["rate"].__dict__["pulse"] = scope["pulse"]
    return scope["rate"]


def paced(rate: Callable, state: np.ndarray) -> dict[str, dict[str, float]]:
    """Biomarkers of some beats; slopes are rates at the solver's own states, the end is interpolated within 0.005 ms."""
    found = {}
    during = np.linspace(0, DURATION, 2001)
    after = np.concatenate([np.linspace(DURATION, 5, 8001), np.arange(5.005, PERIOD, 0.005), [PERIOD]])
    for beat in range(1, max(MEASURED) + 1):
        slopes, times, voltages = [], [], []
        for grid, amplitude in ((during, AMPLITUDE), (after, 0.0)):
            rate.pulse[0] = amplitude
            solution = CVODE(rate, rtol=1e-9, atol=1e-12, max_num_steps=10**6).solve(grid if beat in MEASURED else grid[[0, -1]], state)
            state = np.array(solution.y[-1])
            if beat in MEASURED:
                early, change = solution.t <= 5, np.empty(len(COMPONENTS))
                for row in solution.y[early]:
                    rate(0.0, row, change)
                    slopes.append(change[0])
                times.append(solution.t)
                voltages.append(solution.y[:, 0])
        if beat in MEASURED:
            t, v = np.concatenate(times), np.concatenate(voltages)
            steepest, top = int(np.argmax(slopes)), int(np.argmax(v))
            level = v[top] - 0.9 * (v[top] - v[0])
            below = top + int(np.argmax(v[top:] <= level))
            end = t[below - 1] + (t[below] - t[below - 1]) * (v[below - 1] - level) / (v[below - 1] - v[below])
            found[str(beat)] = {
                "duration": float(end - t[steepest]),
                "resting": float(v[0]),
                "peak": float(v[top]),
                "max_upstroke": float(slopes[steepest]),
            }
    return found


def main(path: Path) -> None:
    """Writes the file beside this script."""
    found = {
        "origin": "github.com/myokit/models, c/tentusscher-2006.mmt, evaluated by myokit; made by make_ten_tusscher_2006.py",
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "myokit": myokit.__version__,
        "components": COMPONENTS,
        "states": random_states().tolist(),
        "rates": {},
        "pacing": {"stimulus_a_per_f": AMPLITUDE, "duration_ms": DURATION, "period_ms": PERIOD, "integrator": "CVODE, rtol 1e-9"},
        "paced": {},
    }
    model = myokit.load_model(str(path))
    order = [variable.qname() for variable in model.states()]
    initial = dict(zip(order, model.initial_values(as_floats=True), strict=True))
    found["start"] = [float(initial[name]) for name in COMPONENTS]
    for layer, number in LAYERS.items():
        model.set_value("cell.type", number)
        rows = []
        for state in found["states"]:
            values = dict(zip(COMPONENTS, state, strict=True))
            rates = dict(zip(order, model.evaluate_derivatives([values[name] for name in order]), strict=True))
            rows.append([float(rates[name]) for name in COMPONENTS])
        found["rates"][layer] = rows
        rate = compiled(model, number)
        check = np.empty(len(COMPONENTS))
        rate(0.0, np.array(found["states"][0]), check)
        np.testing.assert_allclose(check, rows[0], rtol=1e-12)
        found["paced"][layer] = paced(rate, np.array(found["start"]))
    target = Path(__file__).with_name("ten_tusscher_2006.json")
    target.write_text(json.dumps(found, indent=None) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
