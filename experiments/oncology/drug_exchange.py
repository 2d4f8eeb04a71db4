"""From capillaries to voxels of 1 mm: a drug round single vessels at 10 um, a law learned from injections, infusions and a tumour by it."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments.oncology import _drug_windows as windows
from experiments.oncology._capillary_windows import H, blocks, check_multiples, coarse_voxels, distances, square, tumour_places
from experiments.oncology._drug_figures import LAWS, MEASURES, report_of
from physics import DrugTransport, TissueZones, lateral_diffusion
from solvers import RungeKuttaChebyshev2, Strang, TimeMesh, VoxelGrid, simulate, stages_for
from solvers.status import raise_for_status
from twinsim.cli import run_script
from twinsim.closures.drug_exchange import DrugLaw, DrugVoxels, save_drug_law
from twinsim.errors import InputError
from twinsim.experiment import Result, finite_or_none
from twinsim.option_checks import check_options
from twinsim.workspace import Workspace

RANGES = {
    "windows": (8, 20000),
    "unseen_windows": (4, 5000),
    "steps": (2, 100000),
    "seeds": (1, 20),
    "time_steps": (8, 1000),
    "window_mm": (0.2, 2.0),
    "tumour_mm": (0.4, 12.0),
    "voxel_mm": (0.2, 2.0),
    "rim_density": (8.0, 250.0),
    "core_density": (0.0, 250.0),
    "dose": (0.1, 10.0),
}
UNSEEN = {"bolus": ("bolus", 1.0), "infusion": ("infusion", 1.0), "fractions": ("fractions", 1.0), "higher": ("bolus", 4.0)}
"""Schedules by which laws are judged, and a factor of the doses learned from."""
DOSES = (0.5, 2.0)
"""Of the customary dose, to learn from."""


@dataclass(frozen=True)
class Config:
    """Options; sections across capillaries of 10 um diameter, voxels of 10 um; doxorubicin over 48 h and an antibody over a week."""

    windows: int = 48
    """Random windows with an injection to learn from, every other one with the other drug."""
    unseen_windows: int = 12
    """Random windows to judge by, of each schedule."""
    steps: int = 150
    """Of training, per seed."""
    seeds: int = 3
    """Networks, from seed on."""
    time_steps: int = 32
    """From an injection to the horizon, growing."""
    window_mm: float = 0.6
    """Edge of a window, in mm; a multiple of 0.01."""
    tumour_mm: float = 3.0
    """Edge of the tumour's section, in mm; a multiple of voxel-mm."""
    voxel_mm: float = 1.0
    """Coarse voxels, in mm; a multiple of 0.01."""
    rim_density: float = 150.0
    """Capillaries at the rim, per mm2."""
    core_density: float = 10.0
    """Capillaries in the middle, per mm2."""
    dose: float = 1.0
    """In the tumour, of the customary dose."""
    schedule: Literal["bolus", "infusion", "fractions"] = "infusion"
    """In the tumour."""
    seed: int = 0
    """Of windows, networks and the tumour."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""
    save_closure: str = ""
    """Folder for the first network; not written where left out."""


def run(config: Config, workspace: Workspace) -> Result:
    """Windows, networks on them, and one tumour with either drug by its capillaries and by each law."""
    _check(config)
    places = tumour_places(config.tumour_mm, config.rim_density, config.core_density, np.random.default_rng(1000 + config.seed))
    known = workspace.stage("windows", lambda: _windows(config, config.windows, "bolus", 1.0, 0))
    judged = workspace.stage(
        "unseen",
        lambda: {name: _windows(config, config.unseen_windows, *which, 1 + k) for k, (name, which) in enumerate(UNSEEN.items())},
    )
    began = time.perf_counter()
    loss = windows.loss_of(*windows.mesh_of("bolus", config.time_steps))
    trained = [windows.trained(known, loss, config.seed + number, config.steps, workspace) for number in range(config.seeds)]
    summary: dict[str, Any] = {"training_seconds_per_seed": (time.perf_counter() - began) / config.seeds}
    models, notes = [model for model, _ in trained], [note for _, note in trained if note]
    if config.save_closure:
        save_drug_law(config.save_closure, models[0], _provenance(config))
    scores: dict[str, dict[str, np.ndarray]] = {}
    shown: dict[str, Any] = {}
    for name, (schedule, _) in UNSEEN.items():
        found = windows.judged(models, judged[name], schedule, config.time_steps)
        times = windows.mesh_of(schedule, config.time_steps)[1]
        truth = np.asarray(judged[name].truth)
        scores[name] = {law: windows.errors(values, truth, times) for law, values in found.items()}
        for number, drug in enumerate(windows.DRUGS):
            ours = judged[name].drug == number
            summary |= _scored(f"{name}_{drug}", {law: rows[ours] for law, rows in scores[name].items()}, config.seeds)
            workspace.message(f"{name}, {drug}: " + _told(summary, f"{name}_{drug}"))
        shown[name] = (times, truth, found)
    tumours = {drug: workspace.stage(f"tumour_{drug}", lambda drug=drug: _tumour(config, drug, places)) for drug in windows.DRUGS}
    for drug, tumour in tumours.items():
        summary |= _by_laws(config, drug, models, tumour, workspace)
    report = report_of(config, summary, shown, judged, tumours, notes)
    return Result(summary, report, _dataset(config, judged, scores, tumours), notes=notes)


def _told(summary: dict[str, Any], where: str) -> str:
    """Error of what is taken up, by each law."""
    return ", ".join(f"{law} {summary[f'{where}_{law}_taken_up_error_percent']:.2f} %" for law in LAWS)


def _windows(config: Config, count: int, schedule: str, factor: float, number: int) -> windows.Windows:
    doses = (DOSES[0] * factor, DOSES[1] * factor)
    return windows.drawn(count, config.window_mm, schedule, config.time_steps, doses, 10 * config.seed + number)


def _scored(where: str, rows: dict[str, np.ndarray], seeds: int) -> dict[str, Any]:
    """Mean of each measure per law in percent; of networks the mean over seeds and the largest distance from it."""
    means = {law: 100 * values.mean(axis=0) for law, values in rows.items()}
    networks = np.stack([means.pop(f"network_{number}") for number in range(seeds)])
    means["network"] = networks.mean(axis=0)
    spread = np.abs(networks - means["network"]).max(axis=0)
    summary: dict[str, Any] = {}
    for k, measure in enumerate(MEASURES):
        summary |= {f"{where}_{law}_{measure}_error_percent": finite_or_none(values[k]) for law, values in means.items()}
        summary[f"{where}_network_{measure}_error_percent_spread"] = finite_or_none(spread[k])
    return summary


def _tumour(config: Config, drug: str, places: np.ndarray) -> dict[str, Any]:
    """Capillaries denser towards the rim, the drug round them in time, and what each coarse voxel has of both."""
    side, voxel = config.tumour_mm, config.voxel_mm
    mesh, times = windows.mesh_of(config.schedule, config.time_steps)
    numbers = windows.numbers_of(drug)
    problem = windows.resolved(side, places, numbers, windows.course(drug, config.schedule, config.dose), False)
    tissue = blocks(np.asarray(problem.tissue), side, voxel)
    weight, coarse = tissue / tissue.sum(axis=1, keepdims=True), tissue.shape[0]

    run = _resolved.lower(problem, mesh, jnp.asarray(weight), side, voxel).compile()  # pyright: ignore[reportFunctionMemberAccess]
    began = time.perf_counter()
    final, seen, status = jax.block_until_ready(run(problem, mesh, jnp.asarray(weight), side, voxel))
    seconds = time.perf_counter() - began
    raise_for_status(status)
    began = time.perf_counter()
    distance, area = distances(places, side)
    lying = coarse_voxels(places, distance, side, voxel)
    looking = time.perf_counter() - began
    held, delivered = float(problem.amount(final).sum()), float(final[3].sum())
    known = DrugVoxels(
        *(jnp.asarray(column, float) for column in (lying.density, lying.mean_distance, lying.square_distance)),
        *(jnp.full(coarse, number) for number in numbers),
    )
    return {
        "field": np.asarray(windows.seen(final)).reshape(2, *square(side).shape[:2]),
        "truth": np.moveaxis(np.asarray(seen), -1, 0),
        "times": times,
        "known": known,
        "areas": tuple(area[lying.label == number] for number in range(coarse)),
        "seconds": seconds,
        "looking": looking,
        "imbalance": abs(held / delivered - 1),
        "capillaries": len(places),
    }


@eqx.filter_jit
def _resolved(problem: DrugTransport, mesh: TimeMesh, weight: jax.Array, side: float, voxel: float) -> tuple[jax.Array, ...]:
    """The last state, the coarse voxels' means after every step, and the status."""

    def observed(_: jax.Array, state: jax.Array) -> jax.Array:
        return jnp.sum(blocks(windows.seen(state), side, voxel) * weight[None], axis=-1)

    solution = simulate(problem, problem.start(), mesh, observe=observed)
    return solution.final, solution.observations, solution.status


def _by_laws(config: Config, drug: str, models: list[DrugLaw], tumour: dict[str, Any], workspace: Workspace) -> dict[str, Any]:
    """Each coarse voxel by each law, with diffusion between voxels, but for cylinders of each capillary; networks timed."""
    known: DrugVoxels = tumour["known"]
    mesh, times = windows.mesh_of(config.schedule, config.time_steps)
    plasma = windows.course(drug, config.schedule, config.dose)
    count = round(config.tumour_mm / config.voxel_mm)
    grid = VoxelGrid(np.ones((count, count, 1), bool), config.voxel_mm)
    longest = float(np.diff(np.r_[0.0, times]).max())
    laws: dict[str, TissueZones] = {f"network_{n}": model.zones(known, plasma) for n, model in enumerate(models)}
    laws |= windows.by_laws(known, plasma)
    found: dict[str, np.ndarray] = {}
    seconds = 0.0
    sideways = {name: lateral_diffusion(grid, zones, known.diffusivity[0]) for name, zones in laws.items()}
    stages = stages_for(1.05 * longest / 2 * max(float(one.spectral_bound()) for one in sideways.values()))
    for name, zones in laws.items():
        stepper = Strang(RungeKuttaChebyshev2(sideways[name], stages), zones)
        found[name] = np.asarray(_solved(zones, stepper, mesh))
        if name == "network_0":
            began = time.perf_counter()
            for _ in range(3):
                jax.block_until_ready(_solved(zones, stepper, mesh))
            seconds = (time.perf_counter() - began) / 3
    many = jax.tree.map(lambda leaf: np.broadcast_to(np.asarray(leaf), (count**2, *leaf.shape)), plasma)
    found["krogh_per_capillary"] = windows.per_capillary(known, many, tumour["areas"], mesh)
    tumour["by"] = found
    rows = {law: windows.errors(values, tumour["truth"], times) for law, values in found.items()}
    summary = _scored(f"tumour_{drug}", rows, config.seeds)
    workspace.message(f"tumour, {drug}: " + _told(summary, f"tumour_{drug}"))
    whole = tumour["truth"].mean(axis=0)
    for k, measure in enumerate(("free", "taken_up")):
        summary[f"tumour_{drug}_{measure}_at_the_end_umol_per_l"] = float(whole[-1, k])
    outside = 100 * float(jnp.mean(models[0].law.examine(known.features()) != 0))
    return summary | {
        f"tumour_{drug}_resolved_seconds": tumour["seconds"],
        f"tumour_{drug}_coarse_seconds": seconds,
        f"tumour_{drug}_distances_seconds": tumour["looking"],
        f"tumour_{drug}_times_less_time": tumour["seconds"] / seconds,
        f"tumour_{drug}_times_less_time_with_distances": tumour["seconds"] / (seconds + tumour["looking"]),
        f"tumour_{drug}_delivered_less_held": tumour["imbalance"],
        f"tumour_{drug}_voxels_outside_of_training_percent": outside,
        "tumour_capillaries": tumour["capillaries"],
        "tumour_fine_voxels": int(tumour["field"][0].size),
    }


@eqx.filter_jit
def _solved(zones: TissueZones, stepper: Strang, mesh: TimeMesh) -> jax.Array:
    return windows.means_of(zones, mesh, stepper)


def _dataset(
    config: Config, judged: dict[str, windows.Windows], scores: dict[str, dict[str, np.ndarray]], tumours: dict[str, Any]
) -> xr.Dataset:
    one = {"units": "1"}
    variables: dict[str, Any] = {}
    for name, rows in scores.items():
        variables[f"density_{name}"] = ("window", np.asarray(judged[name].known.density), {"units": "1/mm^2"})
        variables |= {f"error_{name}_{law}": (("window", "measure"), values, one) for law, values in rows.items()}
    for drug, tumour in tumours.items():
        variables[f"resolved_{drug}"] = (("kind", "fine_x", "fine_y"), tumour["field"], {"units": "umol/L"})
        variables |= {f"tumour_{drug}_{law}": (("voxel", "time", "kind"), v, {"units": "umol/L"}) for law, v in tumour["by"].items()}
        variables[f"tumour_{drug}"] = (("voxel", "time", "kind"), tumour["truth"], {"units": "umol/L"})
    axis = (np.arange(round(config.tumour_mm / H)) + 0.5) * H
    coords = {
        "measure": ("measure", list(MEASURES)),
        "kind": ("kind", ["free", "taken_up"]),
        "time": ("time", next(iter(tumours.values()))["times"], {"units": "1", "long_name": "time over the horizon"}),
        "fine_x": ("fine_x", axis, {"units": "mm"}),
        "fine_y": ("fine_y", axis, {"units": "mm"}),
    }
    return xr.Dataset(variables, coords=coords, attrs={"voxel_mm": config.voxel_mm})


def _provenance(config: Config) -> dict[str, Any]:
    names = ("windows", "steps", "time_steps", "window_mm", "seed")
    options = " ".join(f"--{name.replace('_', '-')} {getattr(config, name)}" for name in names)
    return {"command": f"twinsim run oncology/drug_exchange {options} --save-closure DIR"}


def _check(config: Config) -> None:
    check_options(config, RANGES)
    check_multiples(config)
    if config.save_closure and Path(config.save_closure).is_file():
        raise InputError(f"save-closure {config.save_closure}, which is a file", "a folder", "give the name of a new folder")


if __name__ == "__main__":
    run_script(__spec__)
