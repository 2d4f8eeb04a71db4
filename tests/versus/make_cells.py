"""Makes NAME.json for a cell model: myokit's rates at random states, and biomarkers of its equations paced by CVODE.

Neither myokit nor scikit-sundae (CVODE of SUNDIALS) is among the project's requirements. In an environment of its own:

    python -m venv peers && peers/bin/pip install myokit scikit-sundae
    peers/bin/python tests/versus/make_cells.py ten_tusscher_2006 tentusscher-2006.mmt

The names are those of tests/versus/cell_oracles.py, which says where each model file is from. Pacing starts from the file's initial state.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import myokit
import numpy as np
from cell_oracles import ORACLES, Oracle
from myokit.formats import importer
from myokit.formats.python import PythonExpressionWriter
from sksundae.cvode import CVODE

AMPLITUDE, DURATION, PERIOD = 52.0, 1.0, 1000.0  # A/F, ms, ms


def random_states(oracle: Oracle) -> np.ndarray:
    """Voltages on both sides of every branch, concentrations over decades, gates over their whole range; rows are states."""
    rng = np.random.default_rng(oracle.seed)
    columns = []
    for kind, low, high in oracle.ranges:
        logarithmic = kind == "log"
        drawn = rng.uniform(*((np.log(low), np.log(high)) if logarithmic else (low, high)), oracle.states)
        columns.append(np.exp(drawn) if logarithmic else drawn)
    return np.stack(columns, axis=1)


def load(path: Path) -> myokit.Model:
    """A model from myokit's own format or from CellML 1."""
    return importer("cellml").model(str(path)) if path.suffix == ".cellml" else myokit.load_model(str(path))


def compiled(model: myokit.Model, oracle: Oracle) -> Callable:
    """The model's equations as one Python function of time, state and result, with the stimulus as an attribute."""
    writer = PythonExpressionWriter()

    def name(expression: myokit.LhsExpression) -> str:
        prefix = "change_" if isinstance(expression, myokit.Derivative) else "value_"
        return prefix + expression.var().qname().replace(".", "__")

    writer.set_lhs_function(name)
    before, lines = [], [f"value_{component.replace('.', '__')} = float(y[{i}])" for i, component in enumerate(oracle.components)]
    for equations in model.solvable_order().values():
        for equation in equations:
            variable = equation.lhs.var()
            if variable.qname() == oracle.stimulus:
                lines.append(f"value_{oracle.stimulus.replace('.', '__')} = -pulse[0]")
            elif variable.is_constant():
                before.append(writer.eq(equation))
            else:
                lines.append(writer.eq(equation))
    lines.extend(f"yp[{i}] = change_{component.replace('.', '__')}" for i, component in enumerate(oracle.components))
    scope = {"math": math, "pulse": [0.0]}
    exec("\n".join(before) + "\ndef rate(t, y, yp):\n" + "".join(f"    {line}\n" for line in lines), scope)
    scope["rate"].__dict__["pulse"] = scope["pulse"]
    return scope["rate"]


def paced(rate: Callable, state: np.ndarray, oracle: Oracle) -> dict[str, dict[str, float]]:
    """Biomarkers of some beats; slopes are rates at the solver's own states, the end is interpolated within 0.005 ms."""
    found = {}
    during = np.linspace(0, DURATION, 2001)
    after = np.concatenate([np.linspace(DURATION, 5, 8001), np.arange(5.005, PERIOD, 0.005), [PERIOD]])
    for beat in range(1, max(oracle.measured) + 1):
        slopes, times, voltages = [], [], []
        for grid, amplitude in ((during, AMPLITUDE), (after, 0.0)):
            rate.pulse[0] = amplitude / oracle.amplitude
            solution = CVODE(rate, rtol=1e-9, atol=1e-12, max_num_steps=10**6).solve(
                grid if beat in oracle.measured else grid[[0, -1]], state
            )
            state = np.array(solution.y[-1])
            if beat in oracle.measured:
                early, change = solution.t <= 5, np.empty(len(oracle.components))
                for row in solution.y[early]:
                    rate(0.0, row, change)
                    slopes.append(change[0] * oracle.amplitude)
                times.append(solution.t)
                voltages.append(oracle.offset + oracle.amplitude * solution.y[:, 0])
        if beat in oracle.measured:
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


def main(name: str, path: Path) -> None:
    """Writes the file beside this script."""
    oracle = ORACLES[name]
    states = random_states(oracle)
    found = {
        "origin": f"{oracle.source}, evaluated by myokit; made by make_cells.py",
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "myokit": myokit.__version__,
        "components": oracle.components,
        "states": states.tolist(),
        "rates": {},
        "pacing": {"stimulus_a_per_f": AMPLITUDE, "duration_ms": DURATION, "period_ms": PERIOD, "integrator": "CVODE, rtol 1e-9"},
        "paced": {},
    }
    for layer, changes in oracle.layers.items():
        model = load(path)
        for variable, value in changes.items():
            model.get(variable).set_rhs(value)
        order = [variable.qname() for variable in model.states()]
        initial = dict(zip(order, model.initial_values(as_floats=True), strict=True)) | oracle.start
        found["start"] = [float(initial[component]) for component in oracle.components]
        rate, rows = compiled(model, oracle), []
        for state in states:
            row = np.empty(len(oracle.components))
            rate(0.0, state, row)
            rows.append(row.tolist())
            values = dict(zip(oracle.components, state, strict=True))
            try:
                own = dict(zip(order, model.evaluate_derivatives([values[one] for one in order]), strict=True))
            except myokit.NumericalError:  # myokit's own evaluation refuses exponentials that underflow
                continue
            np.testing.assert_allclose(row, [own[component] for component in oracle.components], rtol=1e-11)
        found["rates"][layer] = rows
        found["paced"][layer] = paced(rate, np.array(found["start"]), oracle)
    Path(__file__).with_name(f"{name}.json").write_text(json.dumps(found, indent=None) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
