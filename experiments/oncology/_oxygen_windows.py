"""Windows of tissue with capillaries at 10 um, what they consume, and laws that know averages only."""

from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments.oncology._capillary_windows import EXCHANGE, across, distances, random_places, square
from physics import OXYGEN_EFFECT, SECOMB_2004, CapillaryExchange, KroghCylinder, exchange_coefficient, oxygen_exchange
from solvers import VoxelGrid
from twinsim.closures import train
from twinsim.closures.oxygen_exchange import Oxygenation, OxygenLaw, Tissue, Voxels, enhancement_ratio, mixed_pressure
from twinsim.workspace import Workspace

TUMOUR = {name: SECOMB_2004[name].value for name in SECOMB_2004}
DIFFUSIVITY, RADIUS = TUMOUR["krogh_diffusivity"], TUMOUR["capillary_radius"]
TISSUE = Tissue(
    RADIUS, TUMOUR["resistance"], TUMOUR["half_pressure"], OXYGEN_EFFECT["greatest"].value, OXYGEN_EFFECT["half_pressure"].value
)
LUMEN = (RADIUS / EXCHANGE) ** 2
HYPOXIC = 10.0  # mmHg


class Windows(NamedTuple):
    """What is known of windows, what the voxels say, and the areas of tissue nearest to each capillary."""

    known: Voxels
    truth: Oxygenation
    areas: tuple[np.ndarray, ...]
    blood: tuple[np.ndarray, ...]


@lru_cache(maxsize=1)
def _coefficient() -> float:
    """The same for all windows; its iteration would compile anew for each."""
    return float(exchange_coefficient(TUMOUR["resistance"], DIFFUSIVITY, RADIUS, EXCHANGE))


def placed(grid: VoxelGrid, places: np.ndarray, blood: np.ndarray, demand: float, periodic: bool) -> CapillaryExchange:
    """The resolved problem of capillaries across a section."""
    around = (periodic, periodic, False)
    bed = across(grid, places, around)
    half = jnp.asarray(TUMOUR["half_pressure"], float)
    return oxygen_exchange(
        grid,
        bed,
        jnp.asarray(blood),
        jnp.asarray(_coefficient()),
        jnp.asarray(DIFFUSIVITY, float),
        jnp.asarray(demand, float),
        half,
        LUMEN,
        around,
    )


def means(field: np.ndarray, demand: np.ndarray) -> np.ndarray:
    """Share, mean pressure, mean enhancement and hypoxic fraction over the last axis, weighted by tissue."""
    weight = demand / demand.sum(axis=-1, keepdims=True)
    enhanced = enhancement_ratio(field, TISSUE.greatest, TISSUE.effect_pressure)
    parts = (field / (field + TISSUE.half_pressure), field, enhanced, field < HYPOXIC)
    return np.stack([(part * weight).sum(axis=-1) for part in parts])


def drawn(count: int, side: float, seed: int) -> Windows:
    """Periodic windows with 8 to 250 capillaries per mm², 12 to 65 mmHg in the blood, demands of 1e-4 to 8e-4 per s."""
    rng = np.random.default_rng(seed)
    grid = square(side)
    rows, problems, areas, bloods = [], [], [], []
    for _ in range(count):
        places = random_places(side, rng)
        number = len(places)
        mean, demand = np.exp(rng.uniform(np.log(12), np.log(65))), np.exp(rng.uniform(np.log(1e-4), np.log(8e-4)))
        blood = np.clip(mean * (1 + rng.uniform(0, 0.45) * rng.normal(size=number)), 1.0, 95.0)
        distance, area = distances(places, side, side)
        rows.append((number / side**2, distance.mean(), np.sqrt((distance**2).mean()), blood.mean(), blood.std() / blood.mean(), demand))
        areas.append(area)
        bloods.append(blood)
        problems.append(placed(grid, places, blood, demand, True))
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *[(p.exchange, p.supply, p.demand) for p in problems])
    first = problems[0]

    def one(parts: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        solution = eqx.tree_at(lambda p: (p.exchange, p.supply, p.demand), first, parts).solve()
        return solution.field, solution.status

    fields, status = jax.jit(lambda parts: jax.lax.map(one, parts))(stacked)
    if int(np.asarray(status).max()):
        raise RuntimeError("got windows that did not converge; expected none; do: allow more steps")
    truth = means(np.asarray(fields), np.asarray(stacked[2]))
    known = Voxels(*(jnp.asarray(column) for column in np.array(rows).T))
    return Windows(known, Oxygenation(*(jnp.asarray(part) for part in truth)), tuple(areas), tuple(bloods))


def trained(windows: Windows, seed: int, steps: int, workspace: Workspace) -> tuple[OxygenLaw, str]:
    """A network on windows."""
    model = OxygenLaw.create(seed, TISSUE, windows.known, windows.truth)
    run = train(model, loss, (windows.known, windows.truth), steps=steps, batch=min(128, len(windows.areas)), learning_rate=1e-2, seed=seed)
    workspace.message(f"seed {seed}: {run.message}")
    return run.model, "" if run.status == 0 else run.message


def loss(model: OxygenLaw, batch: tuple[Voxels, Oxygenation]) -> jax.Array:
    """Errors of the four outcomes, in units of what matters of each."""
    wrong = (jnp.stack(model(batch[0])) - jnp.stack(batch[1])) / jnp.asarray([[0.05], [2.0], [0.1], [0.05]])
    return jnp.sum(jnp.mean(jnp.sqrt(wrong**2 + 1e-2), axis=1))


def of_mixed(transfer: float, known: Voxels) -> np.ndarray:
    """One well mixed pressure per voxel, for a transfer per capillary."""
    half = jnp.asarray(TISSUE.half_pressure, float)
    pressure = np.asarray(mixed_pressure(jnp.asarray(transfer, float), half, known, TISSUE))
    return means(pressure[:, None], np.ones((len(pressure), 1)))


def fitted_transfer(windows: Windows) -> float:
    """The one transfer with the least mean error of the share."""
    tried = np.exp(np.linspace(np.log(1e-3), 0, 120)) / TISSUE.resistance
    return float(tried[np.argmin([np.abs(of_mixed(value, windows.known)[0] - np.asarray(windows.truth.share)).mean() for value in tried])])


def of_krogh(areas: np.ndarray, blood: np.ndarray, demand: float) -> np.ndarray:
    """Share, mean, enhancement and hypoxic fraction of cylinders of these areas, each with its own blood, weighted by tissue."""
    count = len(areas)
    room = 1 << max(count - 1, 1).bit_length()  # padded by copies of the last, so that few programs serve all
    areas, blood = (np.r_[part, np.full(room - count, part[-1])] for part in (areas, blood))
    tissue = np.sqrt(np.maximum(areas, 1.5 * np.pi * RADIUS**2) / np.pi)
    leaves = np.broadcast_arrays(RADIUS, tissue, demand, DIFFUSIVITY, TISSUE.resistance, blood)
    cylinder = KroghCylinder(*(jnp.asarray(leaf, float) for leaf in leaves))
    weight = (tissue**2 - RADIUS**2)[:count]
    return np.array([np.average(np.asarray(part)[:count], weights=weight) for part in _krogh(cylinder)])


@jax.jit
def _krogh(cylinder: KroghCylinder) -> tuple[jax.Array, ...]:
    rings = (jnp.arange(64) + 0.5) / 64
    inner = cylinder.capillary_mm**2
    r = jnp.sqrt(inner[None] + rings[:, None] * (cylinder.tissue_mm**2 - inner)[None])
    pressure = jnp.maximum(jax.vmap(cylinder.pressure)(r), 0)
    enhanced = enhancement_ratio(pressure, TISSUE.greatest, TISSUE.effect_pressure).mean(axis=0)
    return cylinder.share(), cylinder.mean_pressure(), enhanced, cylinder.fraction_below(HYPOXIC)


def by_laws(known: Voxels, areas: tuple[np.ndarray, ...], blood: tuple[np.ndarray, ...], transfer: float) -> dict[str, np.ndarray]:
    """The rivals that learn nothing, or one number."""
    rows = {"krogh_mean_spacing": [], "krogh_per_capillary": []}
    for number, (area, pressures) in enumerate(zip(areas, blood, strict=True)):
        demand = float(known.demand[number])
        if not len(area):
            for row in rows.values():
                row.append([0.0, 0.0, 1.0, 1.0])
            continue
        rows["krogh_mean_spacing"].append(of_krogh(np.array([1 / float(known.density[number])]), pressures.mean(keepdims=True), demand))
        rows["krogh_per_capillary"].append(of_krogh(area, pressures, demand))
    found = {name: np.array(row).T for name, row in rows.items()}
    return found | {"well_mixed": of_mixed(1 / TISSUE.resistance, known), "fitted_transfer": of_mixed(transfer, known)}
