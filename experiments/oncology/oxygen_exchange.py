"""From capillaries to voxels of 1 mm: oxygen round single vessels at 10 um, a law learned from it, and a tumour solved both ways."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.oncology import _oxygen_windows as windows
from experiments.oncology._capillary_windows import H, blocks, check_multiples, coarse_voxels, distances, outward, square, tumour_places
from experiments.oncology._oxygen_figures import MEASURES, report_of
from solvers import VoxelGrid
from twinsim.cli import run_script
from twinsim.closures.oxygen_exchange import OxygenLaw, Voxels
from twinsim.experiment import Result, finite_or_none
from twinsim.option_checks import check_options
from twinsim.workspace import Workspace

RANGES = {
    "windows": (20, 20000),
    "unseen_windows": (10, 5000),
    "steps": (10, 100000),
    "seeds": (1, 20),
    "window_mm": (0.2, 2.0),
    "tumour_mm": (0.4, 12.0),
    "voxel_mm": (0.2, 2.0),
    "rim_density": (8.0, 250.0),
    "core_density": (0.0, 250.0),
    "rim_pressure": (12.0, 65.0),
    "core_pressure": (12.0, 65.0),
    "pressure_variation": (0.0, 0.45),
    "demand": (1e-4, 8e-4),
}


@dataclass(frozen=True)
class Config:
    """Options; sections across capillaries of 10 um diameter, voxels of 10 um."""

    windows: int = 400
    """Random windows to learn from."""
    unseen_windows: int = 120
    """Random windows to judge by."""
    steps: int = 3000
    """Of training, per seed."""
    seeds: int = 3
    """Networks, from seed on."""
    window_mm: float = 1.0
    """Edge of a window, in mm; a multiple of 0.01."""
    tumour_mm: float = 6.0
    """Edge of the tumour's section, in mm; a multiple of voxel-mm."""
    voxel_mm: float = 1.0
    """Coarse voxels, in mm; a multiple of 0.01."""
    rim_density: float = 150.0
    """Capillaries at the rim, per mm2."""
    core_density: float = 10.0
    """Capillaries in the middle, per mm2."""
    rim_pressure: float = 45.0
    """Oxygen in capillaries at the rim, in mmHg."""
    core_pressure: float = 25.0
    """Oxygen in capillaries in the middle, in mmHg."""
    pressure_variation: float = 0.25
    """Standard deviation of that over its mean."""
    demand: float = 4e-4
    """Oxygen consumed where there is enough, in mL O2/mL/s."""
    seed: int = 0
    """Of windows, networks and the tumour."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Windows, networks on them, and one tumour by its capillaries and by each law."""
    _check(config)
    tumour = workspace.stage("tumour", lambda: _tumour(config))  # first: one without capillaries is refused, and costs no training
    known, unseen = workspace.stage(
        "windows",
        lambda: (
            windows.drawn(config.windows, config.window_mm, 2 * config.seed),
            windows.drawn(config.unseen_windows, config.window_mm, 2 * config.seed + 1),
        ),
    )
    began = time.perf_counter()
    trained = [windows.trained(known, config.seed + number, config.steps, workspace) for number in range(config.seeds)]
    summary: dict[str, Any] = {"training_seconds_per_seed": (time.perf_counter() - began) / config.seeds}
    models, notes = [model for model, _ in trained], [note for _, note in trained if note]
    transfer = windows.fitted_transfer(known)
    summary["fitted_transfer_over_that_of_the_wall"] = transfer * windows.TISSUE.resistance
    truth = np.stack([np.asarray(part) for part in unseen.truth])
    found = {f"network_{n}": np.stack([np.asarray(part) for part in model(unseen.known)]) for n, model in enumerate(models)}
    found |= windows.by_laws(unseen.known, unseen.areas, unseen.blood, transfer)
    summary |= _scored("unseen", found, truth, config.seeds)
    summary |= _wrong_way(models, unseen.known)
    coarse, spent = _coarse(config, models, tumour, transfer)
    summary |= _scored("tumour", coarse, tumour["truth"], config.seeds) | spent
    summary |= _whole(coarse, tumour, config.seeds)
    report = report_of(config, summary, truth, found, tumour, coarse, notes)
    return Result(summary, report, _dataset(config, unseen, truth, found, tumour, coarse), notes=notes)


def _scored(where: str, found: dict[str, np.ndarray], truth: np.ndarray, seeds: int) -> dict[str, Any]:
    """Mean absolute error of each measure per law; of networks the mean over seeds and the largest distance from it."""
    rows = {name: np.abs(values - truth).mean(axis=1) for name, values in found.items()}
    networks = np.stack([rows[f"network_{number}"] for number in range(seeds)])
    summary: dict[str, Any] = {}
    for k, (measure, (unit, factor)) in enumerate(MEASURES.items()):
        summary[f"{where}_network_{measure}_error_{unit}"] = finite_or_none(factor * networks[:, k].mean())
        summary[f"{where}_network_{measure}_error_{unit}_spread"] = finite_or_none(
            factor * np.abs(networks[:, k] - networks[:, k].mean()).max()
        )
        for name, row in rows.items():
            if not name.startswith("network_"):
                summary[f"{where}_{name}_{measure}_error_{unit}"] = finite_or_none(factor * row[k])
    return summary


def _wrong_way(models: list[OxygenLaw], known: Voxels, by: float = 1.05) -> dict[str, float]:
    """Of unseen windows and all networks: where more pressure in the blood gives less in the tissue, less consumed, or more of it hypoxic;
    and where more demand gives more pressure, less consumed in all, or less of it hypoxic. Neither holds by construction."""
    wrong: dict[str, list[float]] = {"blood_pressure": [], "demand": []}
    for model in models:
        before, richer = model(known), model(known._replace(blood_pressure=by * known.blood_pressure))
        falls = (richer.pressure < before.pressure) | (richer.share < before.share) | (richer.hypoxia > before.hypoxia + 1e-6)
        wrong["blood_pressure"].append(100 * float(jnp.mean(falls)))
        hungrier = model(known._replace(demand=by * known.demand))
        rises = (hungrier.pressure > before.pressure) | (by * hungrier.share < before.share) | (hungrier.hypoxia < before.hypoxia - 1e-6)
        wrong["demand"].append(100 * float(jnp.mean(rises)))
    return {f"network_goes_wrong_with_{name}_percent": float(np.mean(values)) for name, values in wrong.items()}


def _tumour(config: Config) -> dict[str, Any]:
    """Capillaries denser and richer towards the rim, the field round them, and what each coarse voxel has of both."""
    rng = np.random.default_rng(1000 + config.seed)
    side = config.tumour_mm
    places = tumour_places(side, config.rim_density, config.core_density, rng)
    mean = config.core_pressure + (config.rim_pressure - config.core_pressure) * outward(places, side)
    blood = np.clip(mean * (1 + config.pressure_variation * rng.normal(size=len(places))), 1.0, 95.0)
    grid = square(side)
    problem = windows.placed(grid, places, blood, config.demand, False)
    solve = jax.jit(lambda supply: _with(problem, supply).solve())
    solution = jax.block_until_ready(solve(problem.supply))
    solution.raise_for_status()
    began = time.perf_counter()
    solution = jax.block_until_ready(solve(problem.supply))
    seconds = time.perf_counter() - began
    field, shape = np.asarray(solution.field), grid.shape[0]
    delivered, consumed = float(problem.delivery(solution.field).sum()), float(problem.consumption(solution.field).sum())
    began = time.perf_counter()
    distance, area = distances(places, side)
    looking = time.perf_counter() - began
    cut = partial(blocks, side=side, voxel=config.voxel_mm)
    coarse = coarse_voxels(places, distance, side, config.voxel_mm)
    numbers = range(len(coarse.density))
    own = [blood[coarse.label == number] for number in numbers]
    everywhere = blood.mean()
    known = Voxels(
        *(
            jnp.asarray(column, float)
            for column in (
                coarse.density,
                coarse.mean_distance,
                coarse.square_distance,
                np.array([part.mean() if len(part) else everywhere for part in own]),
                np.array([part.std() / part.mean() if len(part) else 0.0 for part in own]),
                np.full(len(numbers), config.demand),
            )
        )
    )
    return {
        "field": field.reshape(shape, shape),
        "truth": windows.means(cut(field), cut(np.asarray(problem.demand))),
        "known": known,
        "areas": tuple(area[coarse.label == number] for number in numbers),
        "blood": tuple(own),
        "seconds": seconds,
        "looking": looking,
        "steps": int(solution.steps),
        "imbalance": abs(delivered / consumed - 1),
        "capillaries": len(places),
    }


def _with(problem: Any, supply: jax.Array) -> Any:
    return eqx.tree_at(lambda p: p.supply, problem, supply)


def _coarse(
    config: Config, models: list[OxygenLaw], tumour: dict[str, Any], transfer: float
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Each coarse voxel by each law; networks with exchange between voxels, timed."""
    known: Voxels = tumour["known"]
    count = round(config.tumour_mm / config.voxel_mm)
    grid = VoxelGrid(np.ones((count, count, 1), bool), config.voxel_mm)
    found: dict[str, np.ndarray] = {}
    seconds, outside = 0.0, 0.0
    for number, model in enumerate(models):
        solve = jax.jit(lambda voxels, model=model: model.solve(grid, windows.DIFFUSIVITY, voxels))
        said, solution = jax.block_until_ready(solve(known))
        solution.raise_for_status()
        if number == 0:
            began = time.perf_counter()
            for _ in range(5):
                jax.block_until_ready(solve(known))
            seconds = (time.perf_counter() - began) / 5
            outside = 100 * float(jnp.mean(model.law.examine(known.features()) != 0))
        found[f"network_{number}"] = np.stack([np.asarray(part) for part in said])
    found |= windows.by_laws(known, tumour["areas"], tumour["blood"], transfer)
    return found, {
        "tumour_capillaries": tumour["capillaries"],
        "tumour_fine_voxels": int(tumour["field"].size),
        "tumour_coarse_voxels": count**2,
        "tumour_newton_steps": tumour["steps"],
        "tumour_delivered_less_consumed": tumour["imbalance"],
        "tumour_resolved_seconds": tumour["seconds"],
        "tumour_coarse_seconds": seconds,
        "tumour_distances_seconds": tumour["looking"],
        "tumour_times_less_time": tumour["seconds"] / seconds,
        "tumour_times_less_time_with_distances": tumour["seconds"] / (seconds + tumour["looking"]),
        "tumour_voxels_outside_of_training_percent": outside,
    }


def _whole(coarse: dict[str, np.ndarray], tumour: dict[str, Any], seeds: int) -> dict[str, Any]:
    """Of the tumour in all: truth, and errors with their sign."""
    truth = tumour["truth"].mean(axis=1)
    summary: dict[str, Any] = {}
    wholes = {name: values.mean(axis=1) - truth for name, values in coarse.items()}
    wholes["network"] = np.mean([wholes.pop(f"network_{number}") for number in range(seeds)], axis=0)
    for k, (measure, (unit, factor)) in enumerate(MEASURES.items()):
        summary[f"tumour_mean_{measure}_{unit}"] = factor * truth[k]
        for name, wrong in wholes.items():
            summary[f"tumour_{name}_mean_{measure}_off_by_{unit}"] = finite_or_none(factor * wrong[k])
    return summary


def _dataset(
    config: Config,
    unseen: windows.Windows,
    truth: np.ndarray,
    found: dict[str, np.ndarray],
    tumour: dict[str, Any],
    coarse: dict[str, np.ndarray],
) -> xr.Dataset:
    one = {"units": "1"}
    variables: dict[str, Any] = {
        "truth": (("measure", "window"), truth, one),
        "density": ("window", np.asarray(unseen.known.density), {"units": "1/mm^2"}),
        "resolved": (("fine_x", "fine_y"), tumour["field"], {"units": "mmHg"}),
        "tumour_truth": (("measure", "voxel"), tumour["truth"], one),
    }
    variables |= {f"by_{name}": (("measure", "window"), values, one) for name, values in found.items()}
    variables |= {f"tumour_by_{name}": (("measure", "voxel"), values, one) for name, values in coarse.items()}
    axis = (np.arange(len(tumour["field"])) + 0.5) * H
    coords = {
        "measure": ("measure", list(MEASURES)),
        "fine_x": ("fine_x", axis, {"units": "mm"}),
        "fine_y": ("fine_y", axis, {"units": "mm"}),
    }
    return xr.Dataset(variables, coords=coords, attrs={"voxel_mm": config.voxel_mm})


def _check(config: Config) -> None:
    check_options(config, RANGES)
    check_multiples(config)


if __name__ == "__main__":
    run_script(__spec__)
