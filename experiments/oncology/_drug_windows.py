"""Windows of tissue with capillaries at 10 um and a drug in time, and laws that know averages only; time is in units of a horizon."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.oncology._capillary_windows import EXCHANGE, across, distances, random_places, square
from physics import (
    ANTIBODY,
    DOXORUBICIN,
    Binding,
    Doses,
    DrugTransport,
    ParameterSet,
    PlasmaCourse,
    TissueZones,
    TwoCompartment,
    drug_transport,
    exchange_coefficient,
)
from physics.drug_transport import BOUND, FREE, LOST
from solvers import Stepper, TimeMesh, simulate, time_mesh
from twinsim.closures import train
from twinsim.closures.drug_exchange import DrugLaw, DrugVoxels, krogh_zones
from twinsim.closures.vessel_spacing import FEWEST
from twinsim.workspace import Workspace

RADIUS = 0.005  # mm, of a capillary
LUMEN = (RADIUS / EXCHANGE) ** 2
DRUGS: dict[str, tuple[ParameterSet, float]] = {"doxorubicin": (DOXORUBICIN, 48.0), "antibody": (ANTIBODY, 168.0)}
"""Parameters, and the horizon in hours."""
SCHEDULES = {"bolus": ((0.0,), 0.0), "infusion": ((0.0,), 0.25), "fractions": ((0.0, 0.2, 0.4, 0.6), 0.0)}
"""Starts of doses and their duration, of the horizon; the drug is divided among them."""
RINGS = 8
MOST = max(len(starts) for starts, _ in SCHEDULES.values())


class Courses(eqx.Module):
    """Plasma of many members."""

    members: PlasmaCourse

    def __call__(self, time: Array) -> Array:
        return jax.vmap(lambda one: one(time))(self.members)


class Windows(NamedTuple):
    """What is known of windows, their plasma, the means that voxels say (window, time, free and taken up), the drug's number and the
    area of tissue nearest to each capillary."""

    known: DrugVoxels
    plasma: PlasmaCourse
    truth: Array
    drug: np.ndarray
    areas: tuple[np.ndarray, ...]


def mesh_of(schedule: str, steps: int) -> tuple[TimeMesh, np.ndarray]:
    """Steps that grow from the start of each dose and from the end of an infusion, and the times at their ends."""
    starts, duration = SCHEDULES[schedule]
    marks = sorted({*starts, 1.0, *((duration,) if duration else ())})
    shares = np.array_split(np.arange(steps), len(marks) - 1)  # as many in all for each schedule, so that one program serves all
    times: list[float] = []
    for (begin, end), share in zip(pairwise(marks), shares, strict=True):
        times.extend(begin + (end - begin) * np.geomspace(1e-4 / (end - begin), 1, len(share)))
    return time_mesh(0.0, [1.0], 1.0, breakpoints=times[:-1]), np.array(times)


def course(drug: str, schedule: str, amount: float) -> PlasmaCourse:
    """The plasma of an amount relative to the drug's customary dose."""
    parameters, hours = DRUGS[drug]
    of = {name: parameters[name].value for name in parameters}
    starts, duration = SCHEDULES[schedule]
    none = (0.0,) * (MOST - len(starts))
    each = np.array([amount * of["dose"] / len(starts)] * len(starts) + [*none])
    kinetics = TwoCompartment(*(jnp.asarray(v) for v in (of["volume"], of["clearance"] * hours, of["peripheral"], of["exchange"] * hours)))
    doses = Doses(jnp.asarray([*starts, *none]), jnp.full(MOST, duration), jnp.asarray(each))
    return PlasmaCourse(kinetics, doses, jnp.asarray(of["free"]))


def numbers_of(drug: str, factors: np.ndarray | None = None) -> tuple[float, ...]:
    """Diffusivity, resistance and binding per horizon; factors scale diffusivity, permeability and sites."""
    parameters, hours = DRUGS[drug]
    of, seconds = {name: parameters[name].value for name in parameters}, 3600 * hours
    spread, leak, sites = np.ones(3) if factors is None else factors
    diffusivity = of["space"] * of["diffusivity"] * seconds * spread
    resistance = 1 / (2 * np.pi * RADIUS * of["permeability"] * leak * seconds)
    return diffusivity, resistance, of["space"], of["on"] * seconds, of["off"] * seconds, of["loss"] * seconds, of["sites"] * sites


def resolved(side: float, places: np.ndarray, numbers: tuple[float, ...], plasma: PlasmaCourse, periodic: bool) -> DrugTransport:
    """Capillaries across a section, voxel by voxel."""
    around = (periodic, periodic, False)
    grid = square(side)
    diffusivity, resistance, *binding = numbers
    coefficient = _coefficient(jnp.asarray(resistance), jnp.asarray(diffusivity))
    cells = Binding(*(jnp.asarray(value) for value in binding))
    return drug_transport(grid, across(grid, places, around), coefficient, jnp.asarray(diffusivity), cells, plasma, LUMEN, around)


def _like(problem: DrugTransport, side: float, places: np.ndarray, numbers: tuple[float, ...], plasma: PlasmaCourse) -> DrugTransport:
    """A window as another one, by NumPy: each number of capillaries would be a program of its own."""
    grid = problem.problem.grid
    diffusivity, resistance, *binding = numbers
    bed = across(grid, places, problem.problem.periodic)
    within = np.bincount(np.asarray(bed.voxel), np.asarray(bed.fraction), minlength=grid.size)
    exchange = _coefficient(jnp.asarray(resistance), jnp.asarray(diffusivity)) * jnp.asarray(within)
    cells = Binding(*(jnp.asarray(value) for value in binding))
    parts = exchange, exchange, jnp.asarray(diffusivity), jnp.asarray(np.maximum(1 - LUMEN * within, 0)), cells, plasma
    return eqx.tree_at(_varying, problem, parts)


@jax.jit
def _coefficient(resistance: Array, diffusivity: Array) -> Array:
    return exchange_coefficient(resistance, diffusivity, RADIUS, EXCHANGE)


def drawn(count: int, side: float, schedule: str, steps: int, doses: tuple[float, float], seed: int) -> Windows:
    """Periodic windows, every other one with the other drug, diffusivity, permeability and sites between half and twice, doses in range."""
    rng = np.random.default_rng(seed)
    rows, problems, areas = [], [], []
    for number in range(count):
        drug = list(DRUGS)[number % len(DRUGS)]
        places = random_places(side, rng)
        numbers = numbers_of(drug, 2 ** rng.uniform(-1, 1, 3))
        amount = float(np.exp(rng.uniform(*np.log(doses))))
        distance, area = distances(places, side, side)
        rows.append((len(places) / side**2, distance.mean(), np.sqrt((distance**2).mean()), *numbers))
        areas.append(area)
        plasma = course(drug, schedule, amount)
        if problems:
            problems.append(_like(problems[0], side, places, numbers, plasma))
        else:
            problems.append(resolved(side, places, numbers, plasma, True))
    mesh, _ = mesh_of(schedule, steps)
    runs = [_means(problem, mesh) for problem in problems]
    if max(int(status) for _, status in runs):
        raise RuntimeError("got windows that did not converge; expected none; do: take more steps")
    truth = jnp.stack([means for means, _ in runs])
    plasmas = jax.tree.map(lambda *parts: jnp.asarray(np.stack(parts)), *[problem.plasma for problem in problems])
    known = DrugVoxels(*(jnp.asarray(column) for column in np.array(rows).T))
    return Windows(known, plasmas, truth, np.arange(count) % len(DRUGS), tuple(areas))


@eqx.filter_jit
def _means(problem: DrugTransport, mesh: TimeMesh) -> tuple[Array, Array]:
    weight = problem.tissue / problem.tissue.sum()
    run = simulate(problem, problem.start(), mesh, observe=lambda _, state: seen(state) @ weight)
    return run.observations, run.status


def _varying(problem: DrugTransport) -> tuple[Any, ...]:
    of = problem.problem
    return of.exchange, of.supply, of.diffusivity, problem.tissue, problem.binding, problem.plasma


def seen(state: Array) -> Array:
    """Free and taken up, of voxels."""
    return jnp.stack([state[FREE], state[BOUND] + state[LOST]])


def means_of(zones: TissueZones, mesh: TimeMesh, stepper: Stepper | None = None) -> Array:
    """Mean free and taken up of each voxel at the ends of steps, ``(voxel, time, 2)``."""
    run = simulate(zones if stepper is None else stepper, zones.start(), mesh, observe=lambda _, state: zones.means(state))
    return jnp.moveaxis(run.observations, -1, 0)


def weights(times: np.ndarray) -> np.ndarray:
    """Of the trapezoidal rule from zero on, where there is nothing yet."""
    gaps = np.diff(np.r_[0.0, times])
    return (gaps + np.r_[gaps[1:], 0.0]) / 2


def trained(windows: Windows, loss: Callable[..., Array], seed: int, steps: int, workspace: Workspace) -> tuple[DrugLaw, str]:
    """A network on windows, through all steps of time; one loss for all seeds, so that they share a program."""
    data = windows.known, windows.plasma, windows.truth
    batch = min(32, len(windows.areas))
    run = train(DrugLaw.create(seed, windows.known, RADIUS), loss, data, steps=steps, batch=batch, learning_rate=1e-2, chunk=50, seed=seed)
    workspace.message(f"seed {seed}: {run.message}, loss {run.losses[0]:.3f} to {run.losses[-1]:.3f}")
    return run.model, "" if run.status == 0 else run.message


def loss_of(mesh: TimeMesh, times: np.ndarray) -> Callable[..., Array]:
    """Errors of both means over time, half of the weight by steps and half by time, and of both exposures, over the truth's own size."""
    late = jnp.asarray(weights(times))
    weight = 0.5 * late + 0.5 / len(times)

    def loss(model: DrugLaw, batch: tuple[DrugVoxels, PlasmaCourse, Array]) -> Array:
        known, plasma, truth = batch
        wrong = means_of(model.zones(known, Courses(plasma)), mesh) - truth
        apart = jnp.sum(weight[None, :, None] * wrong**2, axis=1) / jnp.sum(weight[None, :, None] * truth**2, axis=1)
        exposure = (jnp.sum(late[None, :, None] * wrong, axis=1) / jnp.sum(late[None, :, None] * truth, axis=1)) ** 2
        return jnp.mean(jnp.sqrt(apart + 1e-6) + jnp.sqrt(exposure + 1e-6))

    return loss


def by_laws(known: DrugVoxels, plasma: Callable[[Array], Array]) -> dict[str, TissueZones]:
    """The rivals of voxels that learn nothing: well mixed, with the tissue's resistance in series, and a cylinder of the mean spacing."""
    mixed = krogh_zones(known, plasma, RADIUS, 1)
    n = jnp.maximum(known.density, FEWEST)
    beyond = jnp.maximum(jnp.log(1 / (jnp.sqrt(jnp.pi * n) * RADIUS)) - 0.75, 0) / (2 * jnp.pi * known.diffusivity)
    series = eqx.tree_at(lambda zones: zones.wall, mixed, known.density / (known.resistance + beyond))
    return {"krogh_mean_spacing": krogh_zones(known, plasma, RADIUS, RINGS), "series_resistance": series, "well_mixed": mixed}


def per_capillary(known: DrugVoxels, plasma: PlasmaCourse, areas: tuple[np.ndarray, ...], mesh: TimeMesh) -> np.ndarray:
    """A cylinder for each capillary with the area nearest to it, weighted by tissue; nothing where a voxel has none."""
    owner = np.repeat(np.arange(len(areas)), [len(area) for area in areas])
    area = np.maximum(np.concatenate(areas), 1.5 * np.pi * RADIUS**2)
    room = (1 << (len(owner) - 1).bit_length()) - len(owner)  # padded by copies of the last, so that few programs serve all
    taken, owner = np.arange(len(owner)), np.r_[owner, np.full(room, owner[-1])]
    density = jnp.asarray(1 / np.r_[area, np.full(room, area[-1])])
    rest, members = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[owner]), (tuple(known[1:]), plasma))
    found = np.asarray(_rings(DrugVoxels(density, *rest), Courses(members), mesh))[taken]
    owner, weight = owner[taken], area - np.pi * RADIUS**2
    total = np.zeros((len(areas), *found.shape[1:]))
    np.add.at(total, owner, weight[:, None, None] * found)
    return total / np.maximum(np.bincount(owner, weight, minlength=len(areas)), 1e-30)[:, None, None]


@eqx.filter_jit
def _rings(known: DrugVoxels, plasma: Courses, mesh: TimeMesh) -> Array:
    return means_of(krogh_zones(known, plasma, RADIUS, RINGS), mesh)


@eqx.filter_jit
def _compiled(zones: TissueZones, mesh: TimeMesh) -> Array:
    return means_of(zones, mesh)


@eqx.filter_jit
def _zones(model: DrugLaw | None, known: DrugVoxels, plasma: Callable[[Array], Array]) -> dict[str, TissueZones]:
    """All at once: each of their many small operations would be a program."""
    return by_laws(known, plasma) if model is None else {"network": model.zones(known, plasma)}


def judged(models: list[DrugLaw], windows: Windows, schedule: str, steps: int) -> dict[str, np.ndarray]:
    """Means over time by each law, ``(window, time, 2)``."""
    mesh, _ = mesh_of(schedule, steps)
    plasma = Courses(windows.plasma)
    laws = {f"network_{n}": _zones(model, windows.known, plasma)["network"] for n, model in enumerate(models)}
    found = {name: np.asarray(_compiled(zones, mesh)) for name, zones in (laws | _zones(None, windows.known, plasma)).items()}
    return found | {"krogh_per_capillary": per_capillary(windows.known, windows.plasma, windows.areas, mesh)}


def errors(found: np.ndarray, truth: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Per window: mean absolute error over time of free and taken up, and of both exposures, over the truth's mean."""
    weight = weights(times)[None, :, None]
    size = (weight * truth).sum(axis=1)
    apart = (weight * np.abs(found - truth)).sum(axis=1) / size
    exposure = np.abs((weight * (found - truth)).sum(axis=1)) / size
    return np.concatenate([apart, exposure], axis=1)
