"""Trees of arteries drawn at random, and how topologies are held out."""

import hashlib

import jax.numpy as jnp
import numpy as np

from physics.artery_tree import ArteryTree

DENSITY, VISCOSITY, PROFILE, EXTERNAL = 1060.0, 4e-3, 9.0, 1.0e4
ROWS = 16
SMALLEST, LARGEST = 3, 15


def topology(parent: list[int]) -> str:
    """Canonical text of a rooted tree given by the parent of each vessel, the same for every order of daughters."""
    below: list[list[int]] = [[] for _ in parent]
    for vessel, above in enumerate(parent):
        if above >= 0:
            below[above].append(vessel)

    def written(vessel: int) -> str:
        return "(" + "".join(sorted(written(other) for other in below[vessel])) + ")"

    return written(0)


def held_out(parent: list[int], share: float = 0.3) -> bool:
    """Whether a topology belongs to the test: decided by its canonical form alone, so that no tree of its shape is trained on."""
    return int(hashlib.sha256(topology(parent).encode()).hexdigest(), 16) % 1000 < 1000 * share


def draw_topology(rng: np.random.Generator) -> list[int]:
    """Parents of 3 to 15 vessels: mostly bifurcations, some trifurcations and some vessels in a row."""
    count = int(rng.integers(SMALLEST, LARGEST + 1))
    parent, depth, leaves = [-1], [0], [0]
    while len(parent) < count:
        chances = np.array([0.75 ** depth[leaf] for leaf in leaves])
        leaf = leaves.pop(int(rng.choice(len(leaves), p=chances / chances.sum())))
        daughters = min(int(rng.choice([2, 3, 1], p=[0.75, 0.13, 0.12])), count - len(parent))
        for _ in range(daughters):
            leaves.append(len(parent))
            parent.append(leaf)
            depth.append(depth[leaf] + 1)
    return parent


def draw_tree(rng: np.random.Generator, parent: list[int], period: float, times: int = 100) -> dict[str, np.ndarray]:
    """Fields of a :class:`physics.ArteryTree` on such a topology; see :func:`draw_trees`."""
    count = len(parent)
    radius = np.zeros(count)
    radius[0] = rng.uniform(7e-3, 13e-3)
    for vessel in range(count):
        below = [other for other in range(count) if parent[other] == vessel]
        weights = rng.uniform(0.35, 1.0, len(below))
        for other, weight in zip(below, weights / weights.sum() if below else []):
            radius[other] = np.clip(radius[vessel] * np.cbrt(weight) * np.exp(rng.normal(0, 0.06)), 1.5e-3, 0.99 * radius[vessel])
    length = np.clip(radius * rng.uniform(5, 16, count), 0.02, 0.16)
    speed = np.clip(5.2 * (radius / 0.01) ** -0.25 * np.exp(rng.normal(0, 0.15, count)), 3.5, 11.0)
    area = np.pi * radius**2
    terminal = np.array([vessel not in parent for vessel in range(count)])
    mean_flow = area[0] * rng.uniform(0.10, 0.2)
    share = np.where(terminal, radius**3 * np.exp(rng.normal(0, 0.25, count)), 0)
    total = rng.uniform(1.15e4, 1.4e4) / mean_flow
    resistance = np.where(terminal, total * share.sum() / np.where(terminal, share, 1), 0)
    proximal = np.where(terminal, np.minimum(DENSITY * speed / area * rng.uniform(0.8, 1.3, count), 0.5 * resistance), 0)
    time_constant = rng.uniform(0.7, 1.6)
    compliance = np.where(terminal, time_constant * np.exp(rng.normal(0, 0.2, count)) / np.where(terminal, resistance, 1), 0)
    fields = {
        "parent": np.array(parent), "present": np.ones(count, bool), "terminal": terminal, "length": length, "radius": radius,
        "speed": speed, "proximal": proximal, "distal": resistance - proximal, "compliance": compliance,
    }  # fmt: skip
    spare = {"parent": -1, "present": False, "terminal": False, "length": 0.05, "radius": 5e-3, "speed": 6.0}
    padded = {name: np.append(values, np.full(ROWS - count, spare.get(name, 0), values.dtype)) for name, values in fields.items()}
    return padded | {"inlet": draw_inlet(rng, mean_flow, period, times), "period": np.float64(period)}


def draw_inlet(rng: np.random.Generator, mean: float, period: float, times: int) -> np.ndarray:
    """Flow at equally spaced times: an ejection of 0.24 to 0.36 s, a dip after it, harmonics 1 to 6 at random, scaled to the mean."""
    time = np.arange(times) / times * period
    duration, rise = rng.uniform(0.24, 0.36), rng.uniform(1.2, 2.2)
    x = np.clip(time / duration, 0, 1)
    flow = x**rise * (1 - x) ** 2
    flow /= flow.max()
    flow -= rng.uniform(0, 0.12) * np.exp(-0.5 * ((time - duration * 1.08) / 0.025) ** 2)
    for order in range(1, 7):
        flow += rng.normal(0, 0.03 / order) * np.cos(2 * np.pi * order * time / period + rng.uniform(0, 2 * np.pi))
    waves = np.fft.rfft(flow)
    waves[13:] = 0
    flow = np.fft.irfft(waves, times)
    return flow * mean / flow.mean()


def draw_trees(seed: int, count: int, period: float, test: bool, times: int = 100) -> ArteryTree:
    """A batch of random trees, of topologies of the test or of the others, padded to 16 rows.

    Radii by Murray's law with spread, lengths of 5 to 16 radii, walls of 3.5 to 11 m/s (stiffer where narrow), flow split with the cube of
    the radius, mean pressure about 11.5 to 14 kPa, outflow's time constant 0.7 to 1.6 s.

    Args:
        seed: Of the draw.
        count: Trees.
        period: s.
        test: Which topologies (:func:`held_out`).
        times: Of the inlet.
    """
    rng = np.random.default_rng(seed)
    drawn: list[dict[str, np.ndarray]] = []
    while len(drawn) < count:
        parent = draw_topology(rng)
        if held_out(parent) == test:
            drawn.append(draw_tree(rng, parent, period, times))
    stacked = {name: jnp.asarray(np.stack([one[name] for one in drawn])) for name in drawn[0]}
    constants = {"external_pressure": EXTERNAL, "density": DENSITY, "viscosity": VISCOSITY, "profile": PROFILE}
    return ArteryTree(**stacked, **{name: jnp.full(count, value) for name, value in constants.items()})
