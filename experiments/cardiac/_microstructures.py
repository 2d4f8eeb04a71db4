"""Windows of random tissue at 25 um, what they conduct, and a network trained on them."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from physics import Microstructure, bruggeman, dilute, layer_bounds, maxwell, percolation
from solvers import homogenise, winding_directions
from twinsim.closures import PatternConductivity, Training, train
from twinsim.closures.pattern_conductivity import Truncated, truncated
from twinsim.workspace import Workspace

WINDOW = 32  # voxels of 0.025 mm: 0.8 mm
PER_PATTERN = 4  # windows cut from each pattern, so that none closes on itself better than those of a real tissue
TOLERANCES = {"float64": 1e-6, "float32": 1e-5}
SOLVED_AT_ONCE = 32
LEAST = 0.02  # of the bounds: errors count relative to the tensor, or to this where it is smaller
SITE_THRESHOLD = 0.407
NEAR = 0.25  # of the healthy conductivity, geometric mean of the directions: below it, or where one direction is cut, percolation is near
ANISOTROPIC = 10.0  # eigenvalue over eigenvalue


class Windows(NamedTuple):
    """Patterns and their truth; ``winding`` projects onto the directions that conduct at all."""

    conductivities: np.ndarray
    muscle: np.ndarray
    tensors: np.ndarray
    winding: np.ndarray
    healthy: np.ndarray
    fibrosis: np.ndarray

    def of(self, chosen: np.ndarray) -> "Windows":
        """Some of them."""
        return Windows(*(part[chosen] for part in self))


def drawn_structures(count: int, seed: int) -> Microstructure:
    """Random tissues: fibrosis to 0.42 in round or long patches at any angle, septa in seven of ten, cells of 50 to 200 um."""
    rng = np.random.default_rng(seed)
    septa = rng.uniform(0, 0.6, count) * (rng.uniform(size=count) < 0.7)
    values = (
        rng.uniform(0, 0.42, count),
        rng.uniform(0, 2, count),
        rng.uniform(0, 1, count),
        rng.uniform(0, np.pi, count),
        septa,
        rng.uniform(0, 2.5, count),
        2.0 ** rng.integers(1, 4, count),
        10 ** rng.uniform(-0.8, 0, count),
        10 ** rng.uniform(-1.3, -0.3, count),
    )
    return Microstructure(*(jnp.asarray(value) for value in values))


def cut(pattern: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Windows ``(windows, ..., window, window)`` of patterns ``(..., x, y)``, all leading axes but the last two kept behind the first."""
    *lead, x, y = pattern.shape
    blocks = pattern.reshape(*lead, x // window, window, y // window, window)
    return np.moveaxis(blocks, (-4, -2), (0, 1)).reshape(-1, *lead, window, window)


def solved(conductivities: np.ndarray) -> np.ndarray:
    """Effective tensors by cell problems, in the precision of the patterns."""
    count = len(conductivities)
    padded = np.concatenate([conductivities, np.ones((-count % SOLVED_AT_ONCE, *conductivities.shape[1:]), conductivities.dtype)])
    parts = []
    for part in padded.reshape(-1, SOLVED_AT_ONCE, *conductivities.shape[1:]):
        found = _cell_problems(jnp.asarray(part))
        found.raise_for_status()
        parts.append(np.asarray(found.tensor))
    return np.concatenate(parts)[:count]


_cell_problems = jax.jit(jax.vmap(lambda cell: homogenise(cell, tolerance=TOLERANCES[cell.dtype.name])))


def windows(patterns: int, seed: int) -> Windows:
    """Four windows of each of so many random tissues, with cell problems solved."""
    structures = drawn_structures(patterns, seed)
    keys = jax.random.split(jax.random.key(seed), patterns)
    side = 2 * WINDOW
    faces, muscle = _drawn(structures, keys, side)
    cells = np.swapaxes(cut(np.asarray(faces)).reshape(PER_PATTERN, patterns, 2, WINDOW, WINDOW), 0, 1).reshape(-1, 2, WINDOW, WINDOW)
    voxels = np.swapaxes(cut(np.asarray(muscle)), 0, 1).reshape(-1, WINDOW, WINDOW)
    healthy = np.repeat(np.asarray(jax.vmap(Microstructure.healthy)(structures)), PER_PATTERN, axis=0)
    winding = np.stack([winding_directions(cell) for cell in cells])
    return Windows(cells, voxels, solved(cells), winding, healthy, 1 - voxels.mean(axis=(1, 2)))


@partial(jax.jit, static_argnums=2)
def _drawn(structures: Microstructure, keys: Array, side: int) -> tuple[Array, Array]:
    return jax.vmap(lambda structure, key: structure.drawn((side, side), key))(structures, keys)


def looked_at(cells: np.ndarray, iterations: int) -> Truncated:
    """Upper bounds after each iteration, and the bounds of layers, in the precision of the patterns."""
    count = len(cells)
    padded = np.concatenate([cells, np.ones((-count % SOLVED_AT_ONCE, *cells.shape[1:]), cells.dtype)])
    batches = jnp.asarray(padded.reshape(-1, SOLVED_AT_ONCE, *cells.shape[1:]))
    found = _looks(batches, iterations)
    uppers, lows, highs = (jnp.asarray(part.reshape(-1, *part.shape[2:])[:count]) for part in found)
    return Truncated(uppers, lows, highs)


@partial(jax.jit, static_argnums=1)
def _looks(batches: Array, iterations: int) -> Truncated:
    return jax.lax.map(jax.vmap(lambda cell: truncated(cell, iterations)), batches)


def trained(
    known: Windows, seen: Truncated, seed: int, steps: int, batch: int, iterations: int, workspace: Workspace
) -> tuple[Training, PatternConductivity]:
    """A network on windows that conduct in some direction, of which only the bounds are looked at."""
    able = np.trace(known.winding, axis1=1, axis2=2) > 0.5
    data = jax.tree.map(lambda part: jnp.asarray(part[able], jnp.float32), (seen, known.tensors, known.winding))
    model = PatternConductivity.create(seed, iterations, samples=data[0])
    with workspace.progress(steps, f"training, seed {seed}", "steps") as bar:
        made = [0]

        def advance(done: int, _: int, __: float) -> None:
            bar.advance(done - made[0])
            made[0] = done

        run = train(model, _loss, data, steps=steps, batch=min(batch, int(able.sum())), learning_rate=3e-3, seed=seed, progress=advance)
    return run, run.model


def _loss(model: PatternConductivity, batch: tuple[Truncated, Array, Array]) -> Array:
    def one(pattern: Truncated, tensor: Array, winding: Array) -> Array:
        high = pattern.highs
        scale = jnp.where(high > 0, 1 / jnp.sqrt(jnp.where(high > 0, high, 1)), 0)
        scales = scale[:, None] * scale[None, :]
        wrong = scales * (winding @ model.of(pattern) @ winding - tensor)
        return jnp.sqrt(jnp.sum(wrong**2) / (jnp.sum((scales * tensor) ** 2) + LEAST**2) + 1e-6)

    return jnp.mean(jax.vmap(one)(*batch))


def predicted(model: PatternConductivity, seen: Truncated, winding: np.ndarray) -> np.ndarray:
    """What the network says, without the directions in which nothing conducts."""
    return winding @ np.asarray(_said(model, jax.tree.map(jnp.asarray, seen)), float) @ winding


@jax.jit
def _said(model: PatternConductivity, seen: Truncated) -> Array:
    return jax.vmap(model.of)(seen)


def unfinished(seen: Truncated, winding: np.ndarray, iterations: int) -> dict[str, np.ndarray]:
    """The rivals without a network: each upper bound, and the geometric series that the last two decreases begin (Aitken)."""
    uppers = np.asarray(seen.uppers, float)
    found = {f"iterations_{number}": winding @ uppers[:, number] @ winding for number in range(1, uppers.shape[1])}
    one, two = uppers[:, iterations - 1] - uppers[:, iterations], uppers[:, iterations - 2] - uppers[:, iterations - 1]
    ratio = np.trace(one, axis1=1, axis2=2) / np.maximum(np.trace(two, axis1=1, axis2=2), 1e-30)
    ratio = np.clip(ratio, 0, 0.9)[:, None, None]
    return found | {"extrapolated": winding @ (uppers[:, iterations] - one * ratio / (1 - ratio)) @ winding}


def by_laws(known: Windows) -> dict[str, np.ndarray]:
    """Classical laws: the healthy tensor times what each leaves at this fraction of fibrosis."""
    fraction = jnp.asarray(known.fibrosis)
    shares = {
        "dilute": dilute(fraction, np.pi),
        "maxwell": maxwell(fraction, 0.0, 1.0),
        "bruggeman": bruggeman(fraction, 0.0, 1.0),
        "percolation": percolation(fraction, SITE_THRESHOLD),
    }
    laws = {name: np.asarray(share)[:, None, None] * known.healthy for name, share in shares.items()}
    _, high = jax.vmap(layer_bounds)(jnp.asarray(known.conductivities))
    return laws | {"upper_bound": np.asarray(jax.vmap(jnp.diag)(high))}


def classes(known: Windows) -> dict[str, np.ndarray]:
    """Which windows are what: of those that conduct, near percolation, far from it, and strongly anisotropic."""
    rank = np.rint(np.trace(known.winding, axis1=1, axis2=2))
    left = np.where(rank > 1.5, np.linalg.det(known.tensors) / np.linalg.det(known.healthy), 0.0)
    values = np.linalg.eigvalsh(known.tensors)
    return {
        "near_percolation": (rank > 0.5) & (np.sqrt(np.maximum(left, 0)) < NEAR),
        "open": (rank > 1.5) & (np.sqrt(np.maximum(left, 0)) >= NEAR),
        "anisotropic": (rank > 1.5) & (values[:, 1] > ANISOTROPIC * values[:, 0]),
    }


def errors(found: np.ndarray, known: Windows) -> dict[str, np.ndarray]:
    """Per window: of the tensor over its own size (windows that conduct), of each diagonal entry likewise, and over the healthy one."""
    wrong, size = np.linalg.norm(found - known.tensors, axis=(1, 2)), np.linalg.norm(known.tensors, axis=(1, 2))
    able = np.trace(known.winding, axis1=1, axis2=2) > 0.5
    full = np.trace(known.winding, axis1=1, axis2=2) > 1.5
    ratio, true = (
        np.log10(part[full][:, 0, 0] / np.maximum(part[full][:, 1, 1], 1e-12)) for part in (np.maximum(found, 1e-12), known.tensors)
    )
    return {
        "relative": np.where(able, wrong / np.where(able, size, 1), np.nan),
        "of_healthy": wrong / np.linalg.norm(known.healthy, axis=(1, 2)),
        "anisotropy": np.abs(10 ** (ratio - true) - 1),
        "across": np.abs(found[full][:, 1, 1] / known.tensors[full][:, 1, 1] - 1),
    }
