"""A hidden tissue of many cell types: ligands and receptors decide who acts on whom, and cultures of it are counted."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from physics import CellPopulations
from twinsim.populations.composition_series import CompositionSeries, counted

CHANNELS = 8
"""Pairs of ligand and receptor; the first half supports, the other harms."""
CLASSES = ("tumour clone", "stroma", "immune")
SHARES = (0.5, 0.15, 0.35)
BLOOD = {"T memory": 0.3, "T cytotoxic": 0.25, "monocyte": 0.2, "natural killer": 0.1, "B": 0.1, "dendritic": 0.05}
"""Made up, where no file of blood cells is at hand."""
STEP_DAYS = 0.04
IMMIGRATION = 1e-4
"""Of a type per day, as part of its density at rest."""


@dataclass(frozen=True)
class HiddenTissue:
    """The truth.

    Attributes:
        populations: The equations.
        names: Of the types.
        groups: Index into ``CLASSES`` of each type.
        features: What is known of each type, ``[types, features]``: ligands and receptors as measured.
        rest: Densities at rest.
        linked: Whether column acts on row.
    """

    populations: CellPopulations
    names: tuple[str, ...]
    groups: np.ndarray
    features: np.ndarray
    rest: np.ndarray
    linked: np.ndarray


def hidden_tissue(types: int, blood: dict[str, float], seed: int) -> HiddenTissue:
    """Draws a tissue of tumour clones, stroma and immune cells with a rest that is kept.

    Abundances of immune types divide the shares of ``blood``. A type has a ligand with probability 0.1 and a receptor with 0.1; an
    effect is the sum over channels of receptor times ligand times the channel's strength (0.8 to 1.6 per day at most), off by 30 % per
    pair, and one per cent of pairs act without a channel (unseen in the features). Half-saturations are the source's density at rest
    times a log-normal factor (0.4) of the source and one (0.3) of the pair. Growth rates follow from the rest.
    """
    random = np.random.default_rng([seed, 1])
    counts = np.maximum(1, np.round(np.array([0.35, 0.15, 0.5]) * types)).astype(int)
    counts[2] = types - counts[0] - counts[1]
    groups = np.repeat(np.arange(3), counts)
    shares, names = [], []
    for group, count in enumerate(counts):
        if group < 2:
            share = random.dirichlet(np.full(count, 2.0)) * SHARES[group]
            names += [f"{CLASSES[group]} {k + 1}" for k in range(count)]
        else:
            kinds = list(blood)
            of = np.sort(
                np.concatenate([np.arange(len(kinds)), random.choice(len(kinds), max(0, count - len(kinds)), p=list(blood.values()))])
            )
            of = of[:count]
            share = np.concatenate([random.dirichlet(np.full((of == k).sum(), 2.0)) * blood[kinds[k]] for k in np.unique(of)])
            share *= SHARES[group] / share.sum()
            names += [f"{kinds[k]} {n + 1}" for n, k in enumerate(of)]
        shares.append(share)
    rest = 100.0 * np.maximum(np.concatenate(shares), 5e-4)
    ligand, receptor = (random.random((types, CHANNELS)) < 0.1 for _ in range(2))
    level = [np.exp(0.25 * random.standard_normal((types, CHANNELS))) for _ in range(2)]
    channel = random.uniform(0.8, 1.6, CHANNELS) * np.where(np.arange(CHANNELS) < CHANNELS // 2, 1.0, -1.0)
    largest = ((receptor * level[0]) * channel) @ (ligand * level[1]).T * np.exp(0.3 * random.standard_normal((types, types)))
    stray = random.random((types, types)) < 0.01
    largest = np.where(
        stray & (largest == 0), random.choice([-1.0, 1.0], (types, types)) * random.uniform(0.5, 1.2, (types, types)), largest
    )
    np.fill_diagonal(largest, 0.0)
    half = rest[None] * np.exp(0.4 * random.standard_normal((1, types)) + 0.3 * random.standard_normal((types, types)))
    pull = random.uniform(0.4, 1.0, types)  # crowding times rest, 1/day
    # A rest that disturbances leave: interactions are weakened together until the Jacobian's eigenvalues are well below zero.
    a = largest
    for strength in 0.9 ** np.arange(30):
        a = strength * largest
        slope = a * half * rest[None] / (half + rest[None]) ** 2 - np.diag(pull)
        if np.real(np.linalg.eigvals(slope)).max() < -0.15:
            break
    immigration = IMMIGRATION * rest
    growth = pull - (a * rest[None] / (half + rest[None])).sum(axis=1) - immigration / rest
    populations = CellPopulations.from_half_saturation(*(jnp.asarray(part) for part in (growth, pull / rest, a, half, immigration)))
    measured = np.concatenate([receptor * level[0], ligand * level[1]], axis=1) * np.exp(
        0.1 * random.standard_normal((types, 2 * CHANNELS))
    )
    return HiddenTissue(populations, tuple(names), groups, measured, rest, a != 0)


def cultures(
    tissue: HiddenTissue,
    count: int,
    samples: int,
    spread: float,
    depth: int,
    total_error: float,
    seed: int,
    absent: np.ndarray | None = None,
) -> tuple[CompositionSeries, np.ndarray]:
    """Cultures started from mixtures around the rest, counted at uneven times, and their densities without noise.

    Args:
        tissue: The truth.
        count: Cultures.
        samples: Per culture, the first at the start; gaps grow from about 0.2 to 1 day.
        spread: Standard deviation of the logarithm of each type's start.
        depth: Cells counted in a sample.
        total_error: Of the logarithm of the total.
        seed: Of starts, times and counting.
        absent: Types that are left out of the cultures altogether.
    """
    random = np.random.default_rng([seed, 2])
    present = np.ones(len(tissue.rest), bool)
    if absent is not None:
        present[absent] = False
    gaps = np.linspace(0.2, 1.0, samples - 1) * random.uniform(0.75, 1.25, (count, samples - 1))
    gaps = np.round(gaps / STEP_DAYS) * STEP_DAYS
    days = np.concatenate([np.zeros((count, 1)), np.cumsum(gaps, axis=1)], axis=1)
    start = tissue.rest[:, None] * np.exp(spread * random.standard_normal((len(tissue.rest), count)))
    part = jax.tree.map(lambda leaf: leaf, tissue.populations)
    part = CellPopulations(
        part.growth[present], part.crowding[present], part.effect[np.ix_(present, present)], part.saturation[np.ix_(present, present)],
        part.immigration[present],
    )  # fmt: skip
    steps = np.round(days / STEP_DAYS).astype(int)
    every = np.exp(np.asarray(_march(part, jnp.log(jnp.asarray(start[present])), int(steps.max()))))
    densities = np.stack([every[steps[k], :, k] for k in range(count)])
    return counted(days, densities, depth, total_error, seed), densities


@partial(jax.jit, static_argnums=2)
def _march(populations: CellPopulations, start: jax.Array, steps: int) -> jax.Array:
    stepper, step = populations.stepper(), jnp.asarray(STEP_DAYS, start.dtype)

    def one(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        x = stepper.advance(x, jnp.zeros_like(step), step)
        return x, x

    return jnp.concatenate([start[None], jax.lax.scan(one, start, None, length=steps)[1]])
