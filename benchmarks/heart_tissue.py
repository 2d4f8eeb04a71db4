"""Both ventricles as coupled cells on 1 mm voxels: how much slower than real time every cell of a heart is computed."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """The analytic heart with its fibres, on the box around it, first-order splitting."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    host_devices: int = 2
    """XLA devices that the cores are divided into, each with slabs of its own."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the cells and of the diffusion."""

    cell_model: Literal["ten_tusscher_2006_epi", "mitchell_schaeffer", "aliev_panfilov"] = "ten_tusscher_2006_epi"
    """Cell model."""

    spacing_mm: float = 1.0
    """Edge of a voxel; at most 2 mm."""

    step_ms: float = 0.02
    """Time step, in ms."""

    steps: int = 50
    """Steps of a timed run."""

    repeats: int = 3
    """Timed runs, after one that does not count."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process."""
    if min(config.repeats, config.steps) < 1 or not (0 < config.step_ms <= 0.1 and 0.5 <= config.spacing_mm <= 2):
        raise InputError(
            got=f"repeats {config.repeats}, steps {config.steps}, step-ms {config.step_ms:g}, spacing-mm {config.spacing_mm:g}",
            expected="at least 1 and 1, a step up to 0.1 ms, 0.5 to 2 mm",
            do="change them",
        )
    return measure_in_fresh_process("benchmarks.heart_tissue", config)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process; JAX's precision must be the configuration's."""
    import time

    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax import lax

    from benchmarks._measure import peak_resident_mib
    from physics import CELL_MODELS, Monodomain, TissueStimulus, biventricular_heart, fibre_tensor, niederer_diffusivities
    from solvers import TensorDiffusion, VoxelGrid, device_mesh, padded_planes

    heart, cell, devices = biventricular_heart(config.spacing_mm), CELL_MODELS[config.cell_model](), device_mesh()
    grid = VoxelGrid(padded_planes(np.asarray(heart.grid.mask), devices), config.spacing_mm)
    fibres = padded_planes(np.asarray(heart.fibres), devices)
    region = np.asarray(grid.mask) & (np.arange(grid.shape[2]) < grid.shape[2] // 4)  # the apex
    tissue = TensorDiffusion(grid, fibre_tensor(grid, *niederer_diffusivities(), fibres))
    equation = Monodomain(cell, tissue, (TissueStimulus(grid, region, 50.0, 2.0),)).for_step(config.step_ms).on_devices(grid, devices)
    stepper, state = equation.godunov(), equation.initial_state(grid)
    length = jnp.asarray(config.step_ms, state.dtype)

    def advance(stepper: Any, state: Any, first: Any) -> Any:
        return lax.fori_loop(0, config.steps, lambda n, state: stepper.advance(state, (first + n) * length, length), state)

    program = jax.jit(advance, donate_argnums=1).lower(stepper, state, jnp.zeros_like(length)).compile()
    seconds = []
    for number in range(config.repeats + 1):
        began = time.perf_counter()
        state = jax.block_until_ready(program(stepper, state, number * config.steps * jnp.ones_like(length)))
        seconds.append(time.perf_counter() - began)
    best, active = min(seconds[1:]), int(np.asarray(grid.mask).sum())
    potential = np.asarray(cell.millivolts(state))[np.asarray(grid.mask).reshape(-1)]
    return {
        "active_voxels": active,
        "box_voxels": grid.size,
        "run_seconds": best,
        "real_time_factor": config.steps * config.step_ms / (1e3 * best),
        "active_cell_steps_per_second": active * config.steps / best,
        "box_cell_steps_per_second": grid.size * config.steps / best,
        "largest_potential_mv": float(potential.max()),
        "finite": bool(np.isfinite(potential).all()),
        "peak_memory_mib": peak_resident_mib(),
        "jax": jax.__version__,
    }
