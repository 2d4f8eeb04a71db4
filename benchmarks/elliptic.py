"""Poisson's equation on masked cubes by multigrid conjugate gradients: iterations, time per solve, gradient, and pyamg beside it."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """A brain-shaped mask with a jump of conductivity between white and grey matter."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float64"
    """Of the fields; the multigrid cycle is in float32 in either case."""

    edge_voxels: tuple[int, ...] = (64, 128)
    """Edges of the cubes; add 192 for the growth of the iterations."""

    active_fraction: float = 0.5
    """Part of each cube inside its mask."""

    contrast: float = 100.0
    """Conductivity of white matter over that of grey matter."""

    tolerance: float = 1e-8
    """Largest residual over the right-hand side; float32 needs 1e-5 or more."""

    right_hand_sides: int = 4
    """Solved together, beside the solve of one."""

    transform_edge_voxels: int = 96
    """Edge of the full box for the exact solve by transforms; 0 leaves it out."""

    repeats: int = 3
    """Timed runs of each program, after one that does not count."""

    copy_mib: int = 256
    """Size of the array whose copy gives the bandwidth of the memory."""

    peer: bool = True
    """Also run pyamg where it is installed, once, on the smallest cube."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name and the edge of the cube as a suffix; measured in a fresh process."""
    if min(config.repeats, config.copy_mib, config.right_hand_sides) < 1 or not config.edge_voxels or min(config.edge_voxels) < 8:
        raise InputError(
            got=f"repeats {config.repeats}, copy-mib {config.copy_mib}, edge-voxels {config.edge_voxels}",
            expected="at least 1, and edges of at least 8 voxels",
            do="raise them",
        )
    numbers = measure_in_fresh_process("benchmarks.elliptic", config)
    return numbers | _peer(config, numbers) if config.peer else numbers


def _peer(config: Config, numbers: dict[str, Any]) -> dict[str, Any]:
    """The same problem by pyamg, handed over in a file."""
    import tempfile
    from pathlib import Path

    import numpy as np

    from benchmarks._peers import peer_numbers

    edge = min(config.edge_voxels)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problem.npz"
        mask, conductivity, source = problem(edge, config.active_fraction, config.contrast)
        np.savez(file, mask=mask, conductivity=conductivity, source=source)
        options = {"file": str(file), "tolerance": config.tolerance, "repeats": config.repeats}
        peer = peer_numbers("pyamg_poisson", options)
    if peer is None:
        return {}
    return {f"pyamg_{name}_{edge}": value for name, value in peer.items()} | {
        f"pyamg_to_twinsim_solve_{edge}": peer["solve_seconds"] / numbers[f"solve_seconds_{edge}"],
        f"pyamg_to_twinsim_hierarchy_{edge}": peer["hierarchy_seconds"] / numbers[f"hierarchy_seconds_{edge}"],
    }


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns but for the peer, measured in this process; JAX's precision must be the configuration's."""
    import numpy as np

    from benchmarks._measure import copy_bandwidth

    numbers: dict[str, Any] = {}
    for edge in config.edge_voxels:
        numbers |= {f"{name}_{edge}": value for name, value in _one_size(config, edge).items()}
    if config.transform_edge_voxels:
        numbers |= _transforms(config)
    rates = copy_bandwidth(np.dtype(config.precision), min(config.edge_voxels) ** 3, config.copy_mib)
    copy = max(rates["jax"], rates["numpy"])
    for edge in config.edge_voxels:
        numbers[f"solve_fraction_of_copy_bandwidth_{edge}"] = numbers[f"solve_nominal_gb_per_second_{edge}"] / copy
    first, last = config.edge_voxels[0], config.edge_voxels[-1]
    numbers["iterations_last_to_first_size"] = numbers[f"iterations_{last}"] / numbers[f"iterations_{first}"]
    return numbers | {"copy_gb_per_second": copy}


def problem(edge: int, active_fraction: float, contrast: float) -> tuple[Any, Any, Any]:
    """Mask, conductivity and a compatible random source, as volumes of numpy."""
    import numpy as np

    from benchmarks._phantom import brain_phantom

    phantom = brain_phantom((edge, edge, edge), round(active_fraction * edge**3))
    conductivity = np.where(phantom.white > 0.5, contrast, 1.0)
    return phantom.mask, conductivity, np.random.default_rng(0).normal(size=phantom.mask.shape) * phantom.mask


def _one_size(config: Config, edge: int) -> dict[str, Any]:
    import time

    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, warm
    from solvers.grid import VoxelGrid
    from solvers.linear.components import connected_components
    from solvers.linear.elliptic import solve_elliptic
    from solvers.linear.multigrid import multigrid
    from solvers.space.diffusion import Diffusion

    dtype = jnp.dtype(config.precision)
    mask, conductivity, source = problem(edge, config.active_fraction, config.contrast)
    grid = VoxelGrid(mask, 1.0)
    operator = Diffusion(grid, jnp.asarray(conductivity, dtype))
    start = time.perf_counter()
    components = connected_components(operator)
    component_seconds = time.perf_counter() - start
    cells = components.without_mean(grid.cells(jnp.asarray(source, dtype)), jnp.ones(grid.size, bool))
    if cells.dtype != dtype:
        raise InputError(got=f"fields of {cells.dtype}", expected=config.precision, do="set jax_enable_x64 to match the precision")

    def build(operator: Any) -> Any:
        return multigrid(operator, dtype=jnp.float32)

    def solve(operator: Any, hierarchy: Any, pieces: Any, cells: Any) -> Any:
        return solve_elliptic(operator, cells, preconditioner=hierarchy, components=pieces, tolerance=config.tolerance)

    def energy(scale: Any, operator: Any, hierarchy: Any, pieces: Any, cells: Any) -> Any:
        moved = Diffusion(grid, scale * jnp.asarray(conductivity, dtype))
        return jnp.vdot(cells, solve(moved, hierarchy, pieces, cells).field)

    building, _ = compiled(build, operator)
    build_warm = warm(building, operator, repeats=config.repeats)
    hierarchy = building(operator)
    arguments = (operator, hierarchy, components, cells)
    program, compile_seconds = compiled(solve, *arguments)
    one = warm(program, *arguments, repeats=config.repeats)
    solution = program(*arguments)
    gradient, _ = compiled(jax.grad(energy), jnp.asarray(1.0, dtype), *arguments)
    gradient_warm = warm(gradient, jnp.asarray(1.0, dtype), *arguments, repeats=config.repeats)
    forward, _ = compiled(energy, jnp.asarray(1.0, dtype), *arguments)
    forward_warm = warm(forward, jnp.asarray(1.0, dtype), *arguments, repeats=config.repeats)
    random = np.random.default_rng(1).normal(size=(config.right_hand_sides, *mask.shape)) * mask
    many = jnp.stack([grid.cells(jnp.asarray(part, dtype)) for part in random])
    many = components.without_mean(many, jnp.ones(grid.size, bool))
    several, _ = compiled(solve, operator, hierarchy, components, many)
    several_warm = warm(several, operator, hierarchy, components, many, repeats=1)
    iterations = int(solution.iterations)
    # Per iteration: the operator (5 words) and 14 words of vectors; the cycle, in float32: four stencils of 5 words and their
    # vectors, 40 words on the finest level and 1/7 more below.
    traffic = iterations * edge**3 * (19 * dtype.itemsize + 40 * 8 / 7 * 4)
    true = np.asarray(cells + operator.apply(solution.field))
    # The energy is homogeneous of degree -1 in the conductivity, so its slope at scale one is minus itself.
    slope, value = float(gradient(jnp.asarray(1.0, dtype), *arguments)), float(forward(jnp.asarray(1.0, dtype), *arguments))
    return {
        "active_voxels": int(mask.sum()),
        "components": components.count,
        "components_seconds": component_seconds,
        "iterations": iterations,
        "residual_relative": float(np.linalg.norm(true) / np.linalg.norm(np.asarray(cells))),
        "hierarchy_seconds": build_warm.minimum,
        "compile_seconds": compile_seconds,
        "solve_seconds": one.minimum,
        "solve_seconds_per_iteration": one.minimum / max(iterations, 1),
        "solve_active_voxels_per_second": int(mask.sum()) / one.minimum,
        "solve_nominal_gb_per_second": traffic / one.minimum / 1e9,
        "several_solve_seconds_each": several_warm.minimum / config.right_hand_sides,
        "gradient_to_forward": gradient_warm.minimum / forward_warm.minimum,
        "gradient_against_homogeneity_relative": abs(slope + value) / abs(value),
    }


def _transforms(config: Config) -> dict[str, Any]:
    """The exact solve on a full box by matrices, against the same cosines by fast transforms."""
    import jax.numpy as jnp
    import numpy as np
    from jax.scipy.fft import dctn, idctn

    from benchmarks._measure import compiled, warm
    from solvers.grid import VoxelGrid
    from solvers.linear.transforms import BoxSolver
    from solvers.space.diffusion import Diffusion

    edge, dtype = config.transform_edge_voxels, jnp.dtype(config.precision)
    grid = VoxelGrid(np.ones((edge,) * 3, bool), 1.0)
    cells = grid.cells(jnp.asarray(np.random.default_rng(2).random(grid.shape), dtype))
    box = BoxSolver(grid, jnp.asarray(1.0, dtype))
    shift = jnp.asarray(0.01, dtype)

    def fast(box: Any, cells: Any) -> Any:
        modes = dctn(grid.volume(cells), norm="ortho")
        return idctn(modes / (shift + box.eigenvalues()), norm="ortho").reshape(-1)

    program, _ = compiled(lambda box, cells: box.solve(shift, cells), box, cells)
    other, _ = compiled(fast, box, cells)
    field = program(box, cells)
    true = cells - (shift * field - Diffusion(grid, jnp.asarray(1.0, dtype)).apply(field))
    return {
        f"transform_residual_relative_{edge}": float(jnp.linalg.norm(true) / jnp.linalg.norm(cells)),
        f"transform_solve_seconds_{edge}": warm(program, box, cells, repeats=config.repeats).minimum,
        f"transform_by_fft_seconds_{edge}": warm(other, box, cells, repeats=config.repeats).minimum,
    }
