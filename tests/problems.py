"""Small problems that several kinds of proof share: an irregular mask with slits, and a glioma treated by both modalities."""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from physics import Chemotherapy, LinearQuadratic, ProliferationInvasion, gaussian_seed, tissue_diffusion
from solvers import Diffusion, Operator, Solution, TensorDiffusion, TimeMesh, VoxelGrid, simulate, time_mesh

# The programs of the tests run for milliseconds: without LLVM's optimisations they compile several times faster.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def number(value: float) -> jax.Array:
    """A floating-point scalar array."""
    return jnp.asarray(value, dtype=float)


def slope(widths, errors) -> float:
    """Order of convergence: the least-squares slope of log error over log width."""
    assert len(widths) >= 4
    return float(np.polyfit(np.log(widths), np.log(errors), 1)[0])


def slitted_mask(shape: tuple[int, int, int] = (9, 8, 7)) -> np.ndarray:
    """An ellipsoid cut by a wall with a one-voxel slit, a blind one-voxel-thick canal, and a voxel on its own."""
    axes = [np.arange(n) - (n - 1) / 2 for n in shape]
    x, y, z = (axis / (0.52 * n) for axis, n in zip(axes, shape, strict=True))
    mask = x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2 < 1
    wall = shape[0] // 3
    slit = mask[wall, shape[1] // 2, :].copy()
    mask[wall] = False
    mask[wall, shape[1] // 2, :] = slit
    mask[2 * shape[0] // 3, :, shape[2] // 2] = False
    mask[2 * shape[0] // 3, shape[1] // 2 :, shape[2] // 2 + 1] = False
    mask[0, 0, 0] = True
    return mask


def noise(shape: tuple[int, ...], seed: int = 0, low: float = 0.0, high: float = 1.0) -> jax.Array:
    """Uniform random numbers that are the same in every run."""
    return jnp.asarray(np.random.default_rng(seed).uniform(low, high, shape))


def random_tensor(shape: tuple[int, int, int], seed: int = 0) -> jax.Array:
    """A symmetric positive definite tensor per voxel."""
    root = np.random.default_rng(seed).normal(size=(*shape, 3, 3))
    return jnp.asarray(root @ np.swapaxes(root, -1, -2) + 0.05 * np.eye(3))


def matrix(operator: Operator, size: int) -> np.ndarray:
    """An operator as a dense matrix, one column per cell."""
    return np.asarray(operator.apply(jnp.eye(size))).T


def as_type(tree, dtype):
    """Every floating-point leaf of a tree in another precision."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)


OPERATORS = ("order 2", "orthotropic", "order 4", "tensor")


def make_operator(kind: str, grid: VoxelGrid, seed: int = 0) -> Operator:
    """One of the kinds of diffusion with random coefficients, voxels without any diffusion included."""
    rng = np.random.default_rng(seed)
    if kind == "tensor":
        return TensorDiffusion(grid, random_tensor(grid.shape, seed), 0.7)
    if kind == "orthotropic":
        x, y, z = (jnp.asarray(rng.uniform(0.1, 2.0, grid.shape)) for _ in range(3))
        return Diffusion(grid, (x, y, z), 0.7)
    coefficient = jnp.asarray(rng.uniform(0.1, 2.0, grid.shape) * (rng.random(grid.shape) > 0.1))
    return Diffusion(grid, coefficient, 0.7, interior_order=int(kind[-1]))


FIVE_DAYS_IN_28 = tuple(28.0 * cycle + day for cycle in range(5) for day in range(5))
WEEKDAYS = tuple(7.0 * week + day for week in range(6) for day in range(5))


def reference_parameters() -> dict[str, jax.Array]:
    """A fast glioma, so that every parameter matters within the months simulated."""
    return {
        "diffusivity": number(0.35),
        "proliferation": number(0.045),
        "radiosensitivity": number(0.04),
        "alpha_beta_ratio": number(9.0),
        "drug_sensitivity": number(0.0035),
        "elimination": number(9.242),
        "seed": jnp.array([7.3, 5.1, 8.2]),
        "burden": number(60.0),
    }


@dataclass(frozen=True)
class GliomaProblem:
    """Growth, 30 fractions and 5 cycles of 5 days in 28, all at times off the grid of steps, on a small irregular mask."""

    shape: tuple[int, int, int] = (9, 8, 7)
    fraction_days: tuple[float, ...] = tuple(20.37 + day for day in WEEKDAYS)
    fraction_doses: tuple[float, ...] = (2.0,) * 30
    drug_days: tuple[float, ...] = tuple(23.11 + day for day in FIVE_DAYS_IN_28)
    drug_doses: tuple[float, ...] = (150.0,) * 25
    save: tuple[float, ...] = (40.0, 145.0)
    max_step: float = 1.0
    interior_order: int = 4
    stages: int = 2
    grid: VoxelGrid = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", VoxelGrid(slitted_mask(self.shape), (2.0, 1.5, 2.5)))

    @property
    def tissue(self) -> tuple[jax.Array, jax.Array]:
        white = noise(self.shape, 3)
        return white, 1 - white

    def mesh(self, max_step: float | None = None) -> TimeMesh:
        return time_mesh(0.0, self.save, max_step or self.max_step, self.fraction_days, self.drug_days)

    def equation(self, parameters) -> ProliferationInvasion:
        p = parameters
        diffusion = tissue_diffusion(self.grid, *self.tissue, p["diffusivity"], interior_order=self.interior_order)
        chemotherapy = Chemotherapy(jnp.asarray(self.drug_days), jnp.asarray(self.drug_doses), p["elimination"], p["drug_sensitivity"])
        dose_map = self.grid.cells(noise(self.shape, 4, 0.8, 1.05))
        radiotherapy = LinearQuadratic(p["radiosensitivity"], p["alpha_beta_ratio"], jnp.asarray(self.fraction_doses), dose_map)
        return ProliferationInvasion(diffusion, p["proliferation"], chemotherapy, radiotherapy, self.stages)

    def seed(self, parameters) -> jax.Array:
        return gaussian_seed(self.grid, parameters["seed"], parameters["burden"])

    def solve(self, parameters, mesh: TimeMesh | None = None, memory_mib: float = 512.0) -> Solution:
        equation = self.equation(parameters)
        mesh = self.mesh() if mesh is None else mesh
        return simulate(equation.stepper(), self.seed(parameters), mesh, equation.radiotherapy, memory_mib=memory_mib)

    def final_burden(self, parameters, mesh: TimeMesh | None = None, memory_mib: float = 512.0) -> jax.Array:
        return self.solve(parameters, mesh, memory_mib).final.sum() * self.grid.voxel_volume
