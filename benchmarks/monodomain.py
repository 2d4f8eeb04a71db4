"""Tissue of the heart: cell-steps per second with fibres along x, by both splittings, and with oblique fibres."""

import time
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from benchmarks._peers import beside, peer_numbers
from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError

CELLS = {"ten_tusscher_2006": "ten_tusscher_2006_epi", "aliev_panfilov": "aliev_panfilov", "mitchell_schaeffer": "mitchell_schaeffer"}


@dataclass(frozen=True)
class Config:
    """A block of tissue, its first voxels stimulated: some cells are in their upstroke, the others at rest; the cost is the same."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    host_devices: int = 2
    """XLA devices that the cores are divided into, each with slabs of its own; 1 leaves the work to XLA's threads."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the cells and of the diffusion."""

    cell_model: Literal["ten_tusscher_2006", "aliev_panfilov", "mitchell_schaeffer"] = "ten_tusscher_2006"
    """Cell model; the three that finitewave has, too."""

    grid_voxels: tuple[int, int, int] = (128, 128, 64)
    """Voxels of the block."""

    spacing_mm: float = 0.25
    """Edge of a voxel, in mm."""

    step_ms: float = 0.01
    """Time step, in ms."""

    steps: int = 40
    """Steps of a timed run."""

    fibres: bool = True
    """Give finitewave fibres, too; without, its conduction is isotropic, which is a third faster. Ours always has them."""

    oblique: bool = True
    """Time oblique fibres, too, on 19 points and on the fitted lattice."""

    torchcor_voxels: tuple[int, int, int] = (64, 64, 32)
    """Nodes of the block that torchcor gets, whose mesh of six tetrahedra per voxel takes long to make; its time is scaled to ours."""

    repeats: int = 5
    """Timed runs of each program, after one that does not count."""

    copy_mib: int = 256
    """Size of the array whose copy measures the memory."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process, finitewave beside it where installed."""
    if min(config.repeats, config.steps) < 1 or min(config.grid_voxels) < 8 or not (0 < config.step_ms <= 0.1 and config.spacing_mm > 0):
        raise InputError(
            got=f"repeats {config.repeats}, steps {config.steps}, grid-voxels {config.grid_voxels}, step-ms {config.step_ms:g}",
            expected="at least 1, 1 and 8 each, a step up to 0.1 ms and a positive spacing",
            do="change them",
        )
    numbers = measure_in_fresh_process("benchmarks.monodomain", config)
    names = ("grid_voxels", "steps", "step_ms", "spacing_mm", "cell_model", "fibres", "repeats")
    numbers = beside(numbers, "finitewave", peer_numbers("finitewave_monodomain", {name: getattr(config, name) for name in names}))
    options = {name: getattr(config, name) for name in (*names, "torchcor_voxels", "precision")}
    return beside(numbers, "torchcor", peer_numbers("torchcor_monodomain", options))


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns of ours, measured in this process; JAX's precision must be the configuration's."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax import lax

    from benchmarks._measure import copy_bandwidth, peak_resident_mib
    from physics import CELL_MODELS, Monodomain, TissueStimulus, fibre_tensor, front_fit, niederer_diffusivities
    from solvers import Diffusion, LatticeDiffusion, TensorDiffusion, VoxelGrid, device_mesh

    grid, cell = VoxelGrid(np.ones(config.grid_voxels, bool), config.spacing_mm), CELL_MODELS[CELLS[config.cell_model]]()
    region = np.zeros(config.grid_voxels)
    region[:5] = 1
    stimulus = TissueStimulus(grid, region, 50.0, 2.0)
    along, across = niederer_diffusivities()
    operators: dict[str, Any] = {
        "axis": Diffusion(grid, (jnp.full(grid.shape, along), jnp.full(grid.shape, across), jnp.full(grid.shape, across)))
    }
    if config.oblique:
        tensor = fibre_tensor(grid, along, across, (0.8, 0.6, 0.0))
        operators |= {"oblique": TensorDiffusion(grid, tensor), "lattice": LatticeDiffusion(grid, tensor, front_fit(cell))}
    devices = device_mesh()

    def advance(stepper: Any, state: Any, length: Any) -> Any:
        return lax.fori_loop(0, config.steps, lambda n, state: stepper.advance(state, n * length, length), state)

    numbers: dict[str, Any] = {"cells": grid.size, "devices": devices.size}
    programs = []
    for key, operator in operators.items():
        equation = Monodomain(cell, operator, (stimulus,)).for_step(config.step_ms)
        equation = equation if devices.size == 1 else equation.on_devices(grid, devices)
        programs += [("godunov" if key == "axis" else f"godunov_{key}", equation.godunov(), equation)]
        programs += [(f"strang_{key}", equation.stepper(), equation)]
    for name, stepper, equation in programs:
        state = equation.initial_state(grid)
        length = jnp.asarray(config.step_ms, state.dtype)

        began = time.perf_counter()
        program = jax.jit(advance, donate_argnums=1).lower(stepper, state, length).compile()
        compile_seconds = time.perf_counter() - began
        seconds = []
        for _ in range(config.repeats + 1):  # each goes on from where the last one ended, in its memory, as finitewave's do
            began = time.perf_counter()
            state = jax.block_until_ready(program(stepper, state, length))
            seconds.append(time.perf_counter() - began)
        best, middle = min(seconds[1:]), median(seconds[1:])
        ended = np.asarray(cell.millivolts(state))
        numbers |= {
            f"{name}_seconds": best,
            f"{name}_seconds_median": middle,
            f"{name}_compile_seconds": compile_seconds,
            f"{name}_cell_steps_per_second": grid.size * config.steps / best,
            f"{name}_finite": bool(np.isfinite(ended).all()),
        }
    item = jnp.dtype(config.precision).itemsize
    # Every component read and written, and three faces of the diffusion.
    nominal = item * (2 * len(cell.names) + 3)
    copied = copy_bandwidth(config.precision, grid.size, config.copy_mib)["numpy"] * 1e9
    return numbers | {
        "cell_steps_per_second": numbers["godunov_cell_steps_per_second"],
        "nominal_bytes_per_cell_step": nominal,
        "godunov_fraction_of_copy_bandwidth": nominal * numbers["godunov_cell_steps_per_second"] / copied,
        "copy_gigabytes_per_second": copied / 1e9,
        "peak_memory_mib": peak_resident_mib(),
        "jax": jax.__version__,
    }
