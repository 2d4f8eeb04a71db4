"""Dense against compact diffusion on masks that fill more or less of their box: where the one becomes faster than the other."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """Balls of several fill fractions in one cube; each form applied in a loop, as an explicit stepper does."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the fields and of the coefficient."""

    edge_voxels: int = 128
    """Edge of the cube."""

    fill_fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    """Parts of the cube that are active."""

    interior_order: Literal[2, 4] = 2
    """Order of the operator in space."""

    applications: int = 20
    """Of the operator per timed run."""

    repeats: int = 5
    """Timed runs of each program, after one that does not count."""


def run(config: Config) -> dict[str, Any]:
    """Time per application of both forms, their difference, and the fill fraction where they meet; measured in a fresh process."""
    if min(config.repeats, config.applications) < 1 or config.edge_voxels < 8 or not config.fill_fractions:
        raise InputError(
            got=f"repeats {config.repeats}, applications {config.applications}, edge-voxels {config.edge_voxels}",
            expected="at least 1, 1 and 8, and a fill fraction",
            do="raise them",
        )
    if min(config.fill_fractions) <= 0 or max(config.fill_fractions) > 1:
        raise InputError(got=f"fill fractions {config.fill_fractions}", expected="above 0 and at most 1", do="change them")
    return measure_in_fresh_process("benchmarks.sparse_masks", config)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process; JAX's precision must be the configuration's."""
    import numpy as np

    numbers: dict[str, Any] = {}
    ratios = []
    for fill in config.fill_fractions:
        found = _one_fill(config, fill)
        numbers |= {f"{name}_fill_{fill:g}": value for name, value in found.items()}
        ratios.append(found["compact_to_dense_time"])
    order = np.argsort(ratios)
    # By interpolation; the ends say only that the crossing lies beyond.
    numbers["crossover_fill_fraction"] = float(np.interp(1.0, np.array(ratios)[order], np.array(config.fill_fractions)[order]))
    return numbers


def _one_fill(config: Config, fill: float) -> dict[str, float]:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax import lax

    from benchmarks._measure import compiled, warm
    from solvers.grid import VoxelGrid
    from solvers.space.compact import CompactGrid, CompactOperator
    from solvers.space.diffusion import Diffusion

    edge, dtype = config.edge_voxels, jnp.dtype(config.precision)
    x = 2 * (np.arange(edge) + 0.5) / edge - 1
    distance = np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2)
    grid = VoxelGrid(distance <= np.quantile(distance, fill), 1.0)
    random = np.random.default_rng(0)
    coefficient = jnp.asarray(random.uniform(0.2, 1.0, grid.shape), dtype)
    unit = Diffusion(grid, coefficient, 1.0, config.interior_order)
    dense = Diffusion(grid, coefficient, 1 / unit.spectral_bound(), config.interior_order)
    compact = CompactGrid(grid)
    sparse = CompactOperator(compact, dense)
    field = grid.cells(jnp.asarray(random.random(grid.shape), dtype))
    packed = compact.pack(field)

    def march(operator: Any, field: Any) -> Any:
        return lax.fori_loop(0, config.applications, lambda _, u: u + operator.apply(u), field)

    def slope(operator: Any, field: Any) -> Any:
        return jax.grad(lambda field: jnp.sum(operator.apply(field) ** 2))(field)

    found: dict[str, float] = {}
    results = {}
    for name, operator, state in (("dense", dense, field), ("compact", sparse, packed)):
        program, found[f"{name}_compile_seconds"] = compiled(march, operator, state)
        found[f"{name}_seconds"] = warm(program, operator, state, repeats=config.repeats).minimum / config.applications
        gradient, _ = compiled(slope, operator, state)
        found[f"{name}_gradient_seconds"] = warm(gradient, operator, state, repeats=config.repeats).minimum
        results[name] = program(operator, state)
    error = float(jnp.abs(compact.unpack(results["compact"]) - results["dense"]).max())
    active = int(grid.mask.sum())
    return {
        **found,
        "active_voxels": active,
        "compact_active_cells_per_second": active / found["compact_seconds"],
        "dense_box_cells_per_second": grid.size / found["dense_seconds"],
        "compact_to_dense_time": found["compact_seconds"] / found["dense_seconds"],
        "difference_relative": error / float(jnp.abs(results["dense"]).max()),
    }
