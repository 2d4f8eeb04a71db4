"""Waves of excitation on coarse voxels."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.learning._coarse_problem import CoarseProblem, Remedy, block_means, centres, cut, random_image, random_mask
from physics import CellModel, CorrectedDiffusion, front_fit
from physics.cell_model import StimulatedCells
from solvers import Diffusion, LatticeDiffusion, OnComponents, Operator, RungeKuttaChebyshev2, RushLarsen, Stepper, Strang, stages_for
from twinsim.closures import PerceptronClosure

DIFFUSIVITIES = (0.08, 0.18)


class CoarseTissue(CoarseProblem):
    """The monodomain of Mitchell's and Schaeffer's cells in voxels of 1 mm, whose waves are 5 to 15 % slow there."""

    cell: CellModel
    spacing: float = eqx.field(static=True, default=1.0)
    interval: float = eqx.field(static=True, default=0.4)
    unit: str = eqx.field(static=True, default="ms")
    error_unit: str = eqx.field(static=True, default="ms")
    level: float = eqx.field(static=True, default=0.5)  # of the potential, that says when a voxel is activated

    horizons: ClassVar[tuple[int, ...]] = (5, 20)
    iterations: ClassVar[tuple[int, ...]] = (400, 160)
    learning_rates: ClassVar[tuple[float, ...]] = (1e-2, 3e-3)
    hidden: ClassVar[tuple[int, ...]] = (8, 8)

    def steps(self, voxels: int) -> int:
        """4.6 ms per mm of the edge."""
        return round(4.6 * voxels * self.spacing / self.interval)

    def sample(self, generator: np.random.Generator, shape: tuple[int, int, int]) -> dict[str, Any]:
        """Coupling, holes, diffusivity and where the wave begins."""
        mask = random_mask(generator, shape, (0.72, 0.9))
        inside = np.argwhere(mask)
        return {
            "mask": mask,
            "pattern": (0.4 + 0.6 * random_image(generator, shape)).astype(np.float32),
            "diffusivity": np.float32(generator.uniform(*DIFFUSIVITIES)),
            "centre": ((inside[generator.integers(len(inside))] + 0.5) * self.spacing * (np.array(shape) > 1)).astype(np.float32),
            "width": np.float32(generator.uniform(2.0, 3.0)),
        }

    def start(self, member: dict[str, Array], refined: int) -> Array:
        """An excited ball with a soft edge in tissue at rest."""
        shape, grid = member["mask"].shape, self.grid(member, refined)
        squares = sum((x - c) ** 2 for x, c in zip(centres(shape, self.spacing, 12), member["centre"], strict=True))
        voltage = 0.9 * jax.nn.sigmoid((member["width"] - jnp.sqrt(squares)) / 0.5)
        voltage = grid.cells(block_means(voltage.reshape(-1), grid.shape, 12 // refined).reshape(grid.shape))
        return jnp.stack([voltage, jnp.ones_like(voltage)])

    def stepper(self, member: dict[str, Array], refined: int, model: Any | None = None, remedy: Remedy = "none") -> Stepper:
        """Half a step of the cells, one of diffusion, half a step of the cells."""
        grid = self.grid(member, refined)
        pattern = cut(member["pattern"], refined)
        axes = sum(n > 1 for n in pattern.shape)
        number = self.step(refined) * DIFFUSIVITIES[1] * 4 * axes / self.spacing**2 * refined**2
        plain = Diffusion(grid, pattern, member["diffusivity"])
        operator: Operator = plain
        if remedy == "order four":
            operator, number = Diffusion(grid, pattern, member["diffusivity"], interior_order=4), 4 / 3 * number
        elif remedy == "fitted":
            tensor = member["diffusivity"] * pattern[..., None, None] * jnp.eye(3, dtype=pattern.dtype)[None, None, None]
            axes_only = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
            operator, number = LatticeDiffusion(grid, tensor, front_fit(self.cell), directions=axes_only), 3 * number
        diffused: Stepper = RungeKuttaChebyshev2(operator, stages_for(1.05 * number))
        if model is not None:
            diffused = CorrectedDiffusion(plain, grid.cells(pattern), model, self.reaction_time(member), stages_for(4.2 * number))
        return self.split(RushLarsen(StimulatedCells(self.cell, ()), 2), diffused)

    def step(self, refined: int) -> float:
        """Length of a step of the splitting, ms."""
        return self.interval / self.substeps(refined)

    def split(self, cells: Stepper, diffused: Stepper) -> Stepper:
        """Both in one."""
        return Strang(cells, OnComponents(diffused, 0, 1))

    def corrected(self, stepper: Any) -> CorrectedDiffusion:
        """See :class:`CoarseProblem`."""
        return stepper.full.stepper

    def reaction_time(self, member: dict[str, Array]) -> Array:
        """A tenth of the time of the front."""
        del member
        return self.cell.front_time() / 10

    def untrained(self, seed: int, members: dict[str, Array], truth: np.ndarray, hidden: tuple[int, ...]) -> PerceptronClosure:
        """For the fluxes of the potential."""
        return self.face_closure(seed, members, truth, hidden)

    def field(self, state: Array) -> Array:
        """The potential."""
        return state[0]

    def compare(self, state: Array) -> Array:
        """The potential."""
        return state[0]

    def errors(self, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Root mean square difference of activation times over the cells that the wave reaches; infinite where it stops short."""
        mine, theirs = (activation_times(states, self.interval, self.level) for states in (found, truth))
        reached = np.isfinite(theirs)
        gap = np.where(reached, mine, 0) - np.where(reached, theirs, 0)
        return np.sqrt((gap**2).sum(-1) / reached.sum(-1))


def activation_times(states: np.ndarray, interval: float, level: float) -> np.ndarray:
    """When the potential first crosses a level, linear between the states, in ms; infinite where it never does."""
    voltage = states[:, :, 0]
    above = voltage >= level
    first = np.argmax(above, axis=1)
    later = np.maximum(first, 1)
    before, after = (np.take_along_axis(voltage, k[:, None], 1)[:, 0] for k in (later - 1, later))
    crossing = interval * (later - 1 + (level - before) / np.where(after > before, after - before, 1))
    return np.where(above.any(1), np.where(first > 0, crossing, 0.0), np.inf)
