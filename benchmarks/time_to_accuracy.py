"""Time to a given error of activation on the slab of Niederer 2011: fitted coarse voxels against the fine ones that order two needs."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._peers import peer_numbers
from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError

FAR = (20.0, 7.0, 3.0)
POINTS_MM = (FAR, (20.0, 0.0, 0.0), (0.0, 7.0, 0.0), (0.0, 0.0, 3.0))


@dataclass(frozen=True)
class Config:
    """Ten Tusscher 2006 on 20 x 7 x 3 mm, stimulated at a corner; errors at the far corner and at the ends of the axes."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    host_devices: int = 2
    """XLA devices that the cores are divided into, each with slabs of its own."""

    precision: Literal["float32", "float64"] = "float32"
    """Of ours."""

    reference_mm: float = 0.125
    """Voxels of the run that counts as exact: fitted, in steps of ``step_ms`` / 2."""

    fitted_mm: float = 0.25
    """Voxels of the fitted run that is timed."""

    order_two_mm: tuple[float, ...] = (0.5, 0.25)
    """Voxels of the runs of order two in space and one in time, the scheme of finitewave, from which its error is extrapolated."""

    error_relative: float = 0.02
    """Error of activation that is asked for, at all four points."""

    step_ms: float = 0.02
    """Steps of the fitted run; those of order two are half as long, as finitewave's customary 0.01 ms."""

    block_voxels: int = 64
    """Edge of the block on which finitewave's speed is measured."""

    limit_ms: float = 150.0
    """When to give up waiting for the last voxel, in ms."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name. finitewave's time is extrapolated: its needed cell-steps over its measured speed."""
    spacings = (config.reference_mm, config.fitted_mm, *config.order_two_mm)
    if any(not 0.05 <= h <= 1 or any(abs(n / h - round(n / h)) > 1e-6 for n in FAR) for h in spacings) or len(config.order_two_mm) < 2:
        raise InputError(
            got=f"voxels of {', '.join(f'{h:g}' for h in spacings)} mm",
            expected="0.05 to 1 mm, divisors of 20, 7 and 3 mm, and at least two of order two",
            do="use 0.5, 0.25, 0.2, 0.125 or 0.1",
        )
    if not (0 < config.error_relative < 1 and 0 < config.step_ms <= 0.05 and config.block_voxels >= 16 and config.limit_ms >= 10):
        names = ("error_relative", "step_ms", "block_voxels", "limit_ms")
        got = ", ".join(f"{name} {getattr(config, name):g}" for name in names)
        raise InputError(got=got, expected="a part of one, up to 0.05 ms, at least 16 voxels and 10 ms", do="change them")
    numbers = measure_in_fresh_process("benchmarks.time_to_accuracy", config)
    edge = config.block_voxels
    block = {
        "grid_voxels": (edge, edge, edge),
        "steps": 20,
        "step_ms": config.step_ms / 2,
        "spacing_mm": 0.25,
        "fibres": True,
        "repeats": 3,
    }
    theirs = peer_numbers("finitewave_monodomain", block | {"cell_model": "ten_tusscher_2006"})
    if theirs is None:
        return numbers
    speed = theirs["cell_steps_per_second"]
    seconds = numbers["order_two_cell_steps_needed"] / speed
    return numbers | {
        "finitewave_cell_steps_per_second": speed,
        "finitewave_extrapolated_seconds": seconds,
        "fitted_speed_ratio_to_finitewave": seconds / numbers["fitted_seconds"],
    }


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns of ours, measured in this process; JAX's precision must be the configuration's."""
    import time

    import jax
    import jax.numpy as jnp
    import numpy as np

    from experiments.cardiac.niederer import at_point
    from physics import (
        CELL_MODELS,
        NIEDERER_2011,
        Monodomain,
        RecordActivation,
        TissueStimulus,
        box_fraction,
        fibre_tensor,
        front_fit,
        niederer_diffusivities,
        until_activated,
    )
    from solvers import Diffusion, LatticeDiffusion, VoxelGrid, device_mesh

    cell, devices = CELL_MODELS["ten_tusscher_2006_epi"](), device_mesh()
    along, across = niederer_diffusivities()

    def activation(spacing: float, step: float, fitted: bool, timed: bool) -> tuple[np.ndarray, float, float]:
        """Times at the points, seconds of a warm run, and cell-steps."""
        grid = VoxelGrid(np.ones([round(n / spacing) for n in FAR], bool), spacing)
        per_axis = (jnp.full(grid.shape, along), jnp.full(grid.shape, across), jnp.full(grid.shape, across))
        fibres = fibre_tensor(grid, along, across, (1.0, 0.0, 0.0))
        diffusion = LatticeDiffusion(grid, fibres, front_fit(cell)) if fitted else Diffusion(grid, per_axis)
        cube = box_fraction(grid, (0.0, 0.0, 0.0), (1.5,) * 3)
        pulse = TissueStimulus(grid, cube, NIEDERER_2011["stimulus"].value, NIEDERER_2011["stimulus_duration"].value)
        tissue = Monodomain(cell, diffusion, (pulse,)).for_step(step)
        tissue = tissue if grid.shape[0] % devices.size else tissue.on_devices(grid, devices)
        recorder = RecordActivation(tissue.stepper() if fitted else tissue.godunov(), cell)
        start = recorder.start(tissue.initial_state(grid))
        edges = pulse.edges()
        if timed:
            until_activated(recorder, start, step, 2.0, None, edges, 2.0)  # compiles
        began = time.perf_counter()
        state, reached = until_activated(recorder, start, step, config.limit_ms, None, edges, 2.0)
        seconds = time.perf_counter() - began
        times = np.asarray(grid.volume(state.record.activation_times()), float)
        found = np.array([at_point(times, grid.spacing, point) for point in POINTS_MM])
        return found, seconds, grid.size * reached / step

    exact, *_ = activation(config.reference_mm, config.step_ms / 2, True, False)
    fitted, seconds, cell_steps = activation(config.fitted_mm, config.step_ms, True, True)
    rough = {h: activation(h, config.step_ms / 2, False, False)[0] for h in config.order_two_mm}
    error = float(np.max(np.abs(fitted - exact) / exact))
    errors = {h: float(np.max(np.abs(found - exact) / exact)) for h, found in rough.items()}
    finest = min(errors)
    # Second order in space: the error falls with the square of the spacing, at best; the error of Euler steps in time is left out.
    needed = finest * math.sqrt(config.error_relative / errors[finest])
    stable = needed**2 / (2 * (along + 2 * across))
    steps = float(exact[0]) / min(config.step_ms / 2, stable)
    numbers: dict[str, Any] = {"reference_far_corner_ms": float(exact[0]), "fitted_far_corner_ms": float(fitted[0])}
    for h, found in rough.items():
        numbers |= {f"order_two_far_corner_ms_at_{h:g}_mm": float(found[0]), f"order_two_error_largest_relative_at_{h:g}_mm": errors[h]}
    return numbers | {
        "fitted_error_far_corner_relative": float(abs(fitted[0] - exact[0]) / exact[0]),
        "fitted_error_largest_relative": error,
        "fitted_is_within_the_error": error <= config.error_relative,
        "fitted_seconds": seconds,
        "fitted_cell_steps_per_second": cell_steps / seconds,
        "order_two_spacing_needed_mm": needed,
        "order_two_cell_steps_needed": math.prod(FAR) / needed**3 * steps,
        "jax": jax.__version__,
    }
