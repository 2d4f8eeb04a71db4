"""Tumour growth on coarse voxels."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.learning._coarse_problem import (
    CoarseProblem,
    Remedy,
    block_means,
    centres,
    cut,
    random_image,
    random_mask,
    scaled_closure,
)
from physics import GROWTH_INPUTS, GROWTH_OUTPUTS, CorrectedDiffusion, CorrectedInvasion, ProliferationInvasion, growth_features
from solvers import Diffusion, Stepper, stages_for
from twinsim.closures import PerceptronClosure

DIFFUSIVITIES, RATES = (0.05, 0.4), (0.02, 0.06)
FOOT = 0.01


class CoarseTumour(CoarseProblem):
    """Proliferation and invasion in voxels of 3 mm, one to five front widths, in white and grey matter with a ratio of five."""

    spacing: float = eqx.field(static=True, default=3.0)
    interval: float = eqx.field(static=True, default=6.0)
    unit: str = eqx.field(static=True, default="day")
    error_unit: str = eqx.field(static=True, default="relative")

    horizons: ClassVar[tuple[int, ...]] = (4, 16)
    iterations: ClassVar[tuple[int, ...]] = (400, 120)
    learning_rates: ClassVar[tuple[float, ...]] = (1e-2, 3e-3)
    hidden: ClassVar[tuple[int, ...]] = (12, 12)

    def steps(self, voxels: int) -> int:
        """480 days, whatever the image."""
        del voxels
        return 80

    def sample(self, generator: np.random.Generator, shape: tuple[int, int, int]) -> dict[str, Any]:
        """Tissue, outline, diffusivity, rate and a seed somewhere."""
        white = random_image(generator, shape)
        mask = random_mask(generator, shape, (0.42, 0.75))
        inside = np.argwhere(mask)
        return {
            "mask": mask,
            "pattern": (white + (1 - white) / 5).astype(np.float32),
            "diffusivity": np.float32(np.exp(generator.uniform(*np.log(DIFFUSIVITIES)))),
            "rate": np.float32(np.exp(generator.uniform(*np.log(RATES)))),
            "centre": ((inside[generator.integers(len(inside))] + 0.5) * self.spacing * (np.array(shape) > 1)).astype(np.float32),
            "width": np.float32(generator.uniform(3.5, 5.0)),
            "peak": np.float32(generator.uniform(0.2, 0.8)),
        }

    def start(self, member: dict[str, Array], refined: int) -> Array:
        """A Gaussian."""
        shape, grid = member["mask"].shape, self.grid(member, refined)
        squares = sum((x - c) ** 2 for x, c in zip(centres(shape, self.spacing, 12), member["centre"], strict=True))
        density = member["peak"] * jnp.exp(-squares / (2 * member["width"] ** 2))
        return grid.cells(block_means(density.reshape(-1), grid.shape, 12 // refined).reshape(grid.shape))

    def stepper(self, member: dict[str, Array], refined: int, model: Any | None = None, remedy: Remedy = "none") -> Stepper:
        """Strang's splitting with stages for the fastest tissue; with a closure, stages for its largest multiplier."""
        grid = self.grid(member, refined)
        pattern = cut(member["pattern"], refined)
        axes = sum(n > 1 for n in pattern.shape)
        number = self.interval * DIFFUSIVITIES[1] * 4 * axes / self.spacing**2 * refined  # of the step interval / refined
        if remedy == "none":
            diffusion = Diffusion(grid, pattern, member["diffusivity"])
        else:
            diffusion = Diffusion(grid, pattern, member["diffusivity"], interior_order=4)
            number *= 4 / 3
            if remedy == "fitted":
                diffusion = self._fitted(diffusion, grid.cells(pattern) * member["diffusivity"], member["rate"])
        if model is None:
            return ProliferationInvasion(diffusion, member["rate"], stages=stages_for(1.05 * number)).stepper()
        fluxes, growth = model
        corrected = CorrectedDiffusion(diffusion, grid.cells(pattern), fluxes, 1 / member["rate"], stages_for(4.2 * number))
        return CorrectedInvasion(corrected, growth).stepper()

    def _fitted(self, diffusion: Diffusion, diffusivity: Array, rate: Array) -> Diffusion:
        """Fourth differences with $b = (X-\\kappa^2)/X^2$, $X = 2\\cosh\\kappa-2$, $\\kappa=h\\sqrt{\\rho/D}$ in place of 1/12: the
        exponential foot of a front along an axis, and so its speed, is then exact in uniform tissue."""
        kappa = jnp.minimum(self.spacing * jnp.sqrt(rate / jnp.where(diffusivity > 0, diffusivity, 1.0)), 12.0)
        high = 2 * jnp.cosh(kappa) - 2
        bend = 12 * (high - kappa**2) / high**2
        return eqx.tree_at(lambda d: d.correction, diffusion, tuple(bend * weight for weight in diffusion.correction or ()))

    def corrected(self, stepper: Any) -> CorrectedDiffusion:
        """See :class:`CoarseProblem`."""
        return stepper.equation.fluxes

    def reaction_time(self, member: dict[str, Array]) -> Array:
        """One over the rate."""
        return 1 / member["rate"]

    def untrained(
        self, seed: int, members: dict[str, Array], truth: np.ndarray, hidden: tuple[int, ...]
    ) -> tuple[PerceptronClosure, PerceptronClosure]:
        """For fluxes and for growth."""

        def seen(member: dict[str, Array], states: Array) -> Array:
            grid = self.grid(member, 1)
            diffusion = Diffusion(grid, member["pattern"], member["diffusivity"])
            one = lambda u: growth_features(  # noqa: E731
                diffusion, grid.cells(member["pattern"]), u, 1 / member["rate"], jnp.asarray(self.interval, u.dtype)
            )
            return jax.vmap(one)(states)

        features = np.asarray(jax.jit(jax.vmap(seen))(members, jnp.asarray(truth[:, :: max(1, truth.shape[1] // 12)])))
        features = np.moveaxis(features, 2, 0).reshape(len(GROWTH_INPUTS), -1)
        features = features[:, features[0] > 1e-4]
        growth = scaled_closure(seed + 1000, GROWTH_INPUTS, GROWTH_OUTPUTS, features, hidden)
        return self.face_closure(seed, members, truth, hidden), growth

    def field(self, state: Array) -> Array:
        """All of it."""
        return state

    def compare(self, state: Array) -> Array:
        """A logarithm down to a hundredth: the foot of the front makes its speed, and in the density itself nobody sees it."""
        return jnp.log1p(jnp.maximum(state, 0) / FOOT) / jnp.log1p(1 / FOOT)

    def errors(self, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Root of the mean over all times of the squared relative difference."""
        square = ((found - truth) ** 2).sum(-1) / (truth**2).sum(-1)
        return np.sqrt(square[:, 1:].mean(-1))
