"""Makes tvb_networks.json: The Virtual Brain's states of small networks with delays after 200 ms, for several masses.

TVB (GPL) is no requirement of the project. In an environment of its own:

    python -m venv peers && peers/bin/pip install tvb-library
    peers/bin/python tests/versus/make_tvb.py

With a ZIP of 76 regions (of tvb-data) as argument it writes NAME.npz for that network instead, which tests do not read.
"""

import json
import logging
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tvb.simulator.lab import connectivity, coupling, integrators, models, monitors, simulator

logging.disable(logging.WARNING)
REGIONS, SPEED, DT, DURATION = 9, 4.0, 0.1, 200.0  # mm/ms, ms, ms


def network() -> tuple[np.ndarray, np.ndarray]:
    """Weights that are not symmetric, tracts of no length and of less than half a step, and one region alone."""
    generator = np.random.default_rng(11)
    weights = generator.uniform(0.1, 2.0, (REGIONS, REGIONS)) * (generator.uniform(size=(REGIONS, REGIONS)) < 0.5)
    np.fill_diagonal(weights, 0)
    weights[4] = weights[:, 4] = 0
    lengths = generator.uniform(1.0, 60.0, (REGIONS, REGIONS))
    lengths[0, 1:4], lengths[3, 5:] = 0.0, 0.15
    return weights, lengths


def tables() -> dict[str, tuple[object, object, np.ndarray]]:
    """Model, coupling and first state by the name that twinsim gives the mass."""
    return {
        "montbrio_pazo_roxin": (models.MontbrioPazoRoxin(), coupling.Linear(a=np.array([0.05])), np.array([0.1, -2.0])),
        "generic_oscillator": (models.Generic2dOscillator(a=np.array([0.5])), coupling.Linear(a=np.array([0.02])), np.array([0.1, -1.0])),
        "epileptor": (
            models.Epileptor(Ks=np.array([-0.2])),
            coupling.Difference(a=np.array([0.3])),
            np.array([-1.4, -9.0, 2.9, -0.9, 0.1, -0.1]),
        ),
        "reduced_wong_wang": (
            models.ReducedWongWang(w=np.array([0.9]), I_o=np.array([0.3])),
            coupling.Linear(a=np.array([0.1])),
            np.array([0.2]),
        ),
        "jansen_rit": (
            models.JansenRit(v0=np.array([6.0])),
            coupling.SigmoidalJansenRit(cmin=np.array([0.0]), cmax=np.array([0.005]), midpoint=np.array([6.0]), a=np.array([0.5])),
            np.array([0.1, 20.0, 15.0, 0.0, 0.01, 0.02]),
        ),
        "kuramoto": (models.Kuramoto(omega=np.array([0.06])), coupling.Kuramoto(a=np.array([0.2])), np.array([0.0])),
    }


def final(model: object, how: object, first: np.ndarray, weights: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last state, (variables, regions)."""
    model.variables_of_interest = tuple(model.state_variables)
    regions = len(weights)
    tracts = connectivity.Connectivity(
        weights=weights,
        tract_lengths=lengths,
        region_labels=np.array([f"r{number}" for number in range(regions)]),
        centres=np.zeros((regions, 3)),
        speed=np.array([SPEED]),
    )
    tracts.configure()
    spread = 1 + 0.1 * np.sin(np.arange(regions))
    start = first[:, None] * spread[None] + 0.01 * np.cos(np.arange(regions))[None]
    run = simulator.Simulator(
        model=model,
        connectivity=tracts,
        coupling=how,
        integrator=integrators.HeunDeterministic(dt=DT),
        monitors=(monitors.Raw(),),
        simulation_length=DURATION,
        initial_conditions=np.broadcast_to(start[None, :, :, None], (2000, *start.shape, 1)).copy(),
    )
    run.configure()
    ((_, states),) = run.run()
    return start, states[-1, :, :, 0]


def main(arguments: list[str]) -> None:
    """Writes the file, or one for a ZIP."""
    if arguments:
        tracts = connectivity.Connectivity.from_file(arguments[0])
        weights, lengths = tracts.weights, tracts.tract_lengths
        found = {}
        for name, parts in tables().items():
            found[f"{name}_start"], found[f"{name}_final"] = final(*parts, weights, lengths)
        np.savez(arguments[1], weights=weights, tract_lengths=lengths, **found)
        return
    weights, lengths = network()
    runs = {
        name: dict(zip(("start", "final"), map(np.ndarray.tolist, final(*parts, weights, lengths)), strict=True))
        for name, parts in tables().items()
    }
    origin = f"tvb-library {version('tvb-library')}, HeunDeterministic, made by make_tvb.py"
    content = {
        "origin": origin,
        "speed": SPEED,
        "dt": DT,
        "duration": DURATION,
        "weights": weights.tolist(),
        "lengths": lengths.tolist(),
        "runs": runs,
    }
    (Path(__file__).parent / "tvb_networks.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
