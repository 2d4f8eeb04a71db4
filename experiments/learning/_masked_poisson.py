"""Poisson's equation in a slice of tissue with a hole: the project's own operator as residual, beside its elliptic solver."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.learning._informed_case import Case, Level, relative_error, timed
from experiments.learning._tracer import grid
from solvers import Affine, Diffusion, solve_elliptic
from twinsim.informed import FieldRows, InformedProblem, Sampling, SmoothPerceptron, Stage

BLOBS = ((2.6, 4.2, 1.0), (8.6, 2.8, -1.4), (5.6, 7.6, 0.8))  # centre (mm) and strength of sources and sinks
WIDTH_MM = 1.2


@lru_cache
def equation() -> Affine:
    r"""$\Delta u+s$ on the mask, no flux through its walls; $s$ sums to zero there."""
    voxels = grid()
    with jax.ensure_compile_time_eval():
        x, y, _ = voxels.centres()
        h = voxels.spacing[0] / 2
        source = np.sum(
            [
                a * np.exp(-((np.asarray(x)[:, None] + h - p) ** 2 + (np.asarray(y)[None] + h - q) ** 2) / (2 * WIDTH_MM**2))
                for p, q, a in BLOBS
            ],
            axis=0,
        )
        mask = np.asarray(voxels.mask)[..., 0]
        source = np.where(mask, source - source[mask].mean(), 0.0)
        return Affine(Diffusion(voxels, 1.0), jnp.asarray(source).reshape(-1))


@lru_cache
def exact() -> np.ndarray:
    """The discrete solution of mean zero on the active voxels, to ten digits."""
    found = solve_elliptic(equation().operator, _source(), tolerance=1e-11)
    found.raise_for_status()
    return np.asarray(found.field)[_active()]


def _source() -> Array:
    """The equation where nothing is."""
    return equation().evaluate(jnp.zeros(grid().mask.size), jnp.zeros(()))


def _active() -> np.ndarray:
    return np.flatnonzero(np.asarray(grid().mask).ravel())


class PotentialField(eqx.Module):
    """The network itself; what is constant in it the equation does not know."""

    network: SmoothPerceptron

    def __call__(self, point: Float[Array, " 3"]) -> Float[Array, ""]:
        """At a centre (mm)."""
        return self.network(point[:2])[0]


def value(model: PotentialField, point: Float[Array, " 3"]) -> Float[Array, ""]:
    """At a centre."""
    return model(point)


def case(seed: int, width: int = 20, layers: int = 3, scale: float = 1.0) -> Case:
    """A network for the whole mask; ``scale`` multiplies the iterations."""
    rows = FieldRows(value, equation(), grid())
    x, y, _ = grid().centres()
    network = SmoothPerceptron((0.0, 0.0), (float(x[-1]), float(y[-1])), (width,) * layers, key=jax.random.key(seed), steepness=(2.0, 2.0))
    points = rows.points[0]

    @jax.jit
    def answer(model: PotentialField) -> Array:
        found = jax.vmap(model)(points)
        return found - jnp.mean(found)

    stages = (Stage(1, max(1, round(20 * scale)), 10),)
    return Case(InformedProblem(known=(rows,)), PotentialField(network), stages, Sampling(), answer, exact())


def levels(seeds: Sequence[int] = (0,)) -> tuple[Level, ...]:
    """The project's elliptic solver at looser and tighter tolerances."""
    del seeds  # the problem has no data

    def run(tolerance: float) -> tuple[float, float]:
        found, seconds = timed(lambda: solve_elliptic(equation().operator, _source(), tolerance=tolerance).field)
        return relative_error(np.asarray(found)[_active()], exact()), seconds

    return tuple(Level(f"solve_elliptic, tolerance {t:g}", lambda t=t: run(t)) for t in (1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8))


def paint(axes: Any, values: np.ndarray, truth: np.ndarray) -> None:
    """The field on the mask."""
    mask = np.asarray(grid().mask)[..., 0]
    volume = np.full(mask.shape, np.nan)
    volume[mask] = values
    x, y, _ = (n * h for n, h in zip(grid().shape, grid().spacing, strict=True))
    size = float(np.abs(truth).max())
    axes.imshow(volume.T, origin="lower", extent=(0, x, 0, y), cmap="RdBu_r", vmin=-size, vmax=size)
    axes.set_xlabel("x (mm)")
    axes.set_ylabel("y (mm)")
