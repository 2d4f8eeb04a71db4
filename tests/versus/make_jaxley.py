"""Traces of jaxley 0.14 for test_jaxley.py, printed; run it in an environment that has jaxley."""

import json
import sys

import jax

CASES = {"cable": [-1], "fork": [-1, 0, 0], "tree": [-1, 0, 0, 1, 1]}
PER_BRANCH, LENGTH_UM, RADIUS_UM, OHM_CM = 4, 25.0, 1.0, 200.0
STEP_MS, DURATION_MS, EVERY = 0.025, 6.0, 12


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    import jaxley as jx
    import numpy as np
    from jaxley.channels import HH

    found = {}
    for name, parents in CASES.items():
        cell = jx.Cell([jx.Branch(jx.Compartment(), ncomp=PER_BRANCH)] * len(parents), parents=parents)
        cell.insert(HH())
        for key, value in (("length", LENGTH_UM), ("radius", RADIUS_UM), ("axial_resistivity", OHM_CM), ("v", -65.0)):
            cell.set(key, value)
        cell.init_states()
        cell.branch(0).comp(0).stimulate(jx.step_current(i_delay=0.5, i_dur=1.0, i_amp=0.4, delta_t=STEP_MS, t_max=DURATION_MS))
        for branch in range(len(parents)):
            cell.branch(branch).comp(PER_BRANCH - 1).record(verbose=False)
        found[name] = np.asarray(jx.integrate(cell, delta_t=STEP_MS, t_max=DURATION_MS))[:, EVERY::EVERY].tolist()
    options = {
        "per_branch": PER_BRANCH, "length_um": LENGTH_UM, "radius_um": RADIUS_UM, "ohm_cm": OHM_CM, "step_ms": STEP_MS,
        "duration_ms": DURATION_MS, "every": EVERY, "nanoampere": 0.4, "start_ms": 0.5, "pulse_ms": 1.0,
    }  # fmt: skip
    made = {"origin": f"jaxley {jx.__version__}, float64", "parents": CASES, "options": options, "millivolts": found}
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
