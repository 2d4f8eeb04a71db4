"""Gradient of activation times and of twelve leads of a slab by every voxel's conductivity and channels: passes, memory, error."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError

CHANNELS = {
    "ten_tusscher_2006_epi": ("sodium_conductance", "calcium_permeability"),
    "mitchell_schaeffer": ("inward_constant", "outward_constant"),
    "aliev_panfilov": ("excitation_rate", "threshold"),
}


@dataclass(frozen=True)
class Config:
    """A slab with fibres, stimulated at a corner; unknown are the conductivity of every voxel and two strengths of channels."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    host_devices: int = 2
    """XLA devices that the cores are divided into, each with slabs of its own; 1 leaves the work to XLA's threads."""

    precision: Literal["float32", "float64"] = "float64"
    """Of the cells and of the diffusion."""

    cell_model: Literal["ten_tusscher_2006_epi", "mitchell_schaeffer", "aliev_panfilov"] = "ten_tusscher_2006_epi"
    """Cell model."""

    diffusion: Literal["axis", "lattice"] = "lattice"
    """Fibres along x and 7 points, or oblique ones on the fitted lattice."""

    splitting: Literal["strang", "godunov"] = "strang"
    """Of second or of first order in time."""

    grid_voxels: tuple[int, int, int] = (40, 24, 8)
    """Voxels of the slab."""

    spacing_mm: float = 0.25
    """Edge of a voxel, in mm."""

    step_ms: float = 0.02
    """Time step, in ms."""

    duration_ms: float = 8.0
    """What is not activated by then does not count; in ms."""

    memory_mib: float = 256.0
    """Budget of reverse mode, in MiB."""

    leads: bool = True
    """Also the gradient of twelve leads; without, of activation times only."""

    repeats: int = 3
    """Timed runs of each program, after one that does not count."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process."""
    if min(config.repeats, *config.grid_voxels) < 1 or config.grid_voxels[0] < 8 or not 0 < config.step_ms <= 0.1:
        raise InputError(
            got=f"repeats {config.repeats}, grid-voxels {config.grid_voxels}, step-ms {config.step_ms:g}",
            expected="at least 1 repeat, 8 voxels along x and a step up to 0.1 ms",
            do="change them",
        )
    return measure_in_fresh_process("benchmarks.activation_gradient", config)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process; JAX's precision must be the configuration's."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import MIB, compiled, peak_resident_mib, warm
    from physics import (
        CELL_MODELS,
        NIEDERER_2011,
        Monodomain,
        RecordActivation,
        TissueStimulus,
        box_fraction,
        fibre_tensor,
        front_fit,
        lead_fields,
        niederer_diffusivities,
        point_sources,
        twelve_leads,
    )
    from physics.activation import NOT_YET
    from solvers import Diffusion, LatticeDiffusion, TensorDiffusion, VoxelGrid, checkpoint_plan, device_mesh, simulate

    grid, cell = VoxelGrid(np.ones(config.grid_voxels, bool), config.spacing_mm), CELL_MODELS[config.cell_model]()
    along, across = niederer_diffusivities()
    fibres = (1.0, 0.0, 0.0) if config.diffusion == "axis" else (0.8, 0.48, 0.36)
    pulse = TissueStimulus(grid, box_fraction(grid, (0, 0, 0), (1.5, 1.5, 1.5)), 50.0, 2.0)
    uniform = LatticeDiffusion(grid, fibre_tensor(grid, along, across, fibres), front_fit(cell))

    def diffusion(voxels: Any) -> Any:
        if config.diffusion == "axis":
            return Diffusion(grid, (along * voxels, across * voxels, across * voxels))
        tensor = fibre_tensor(grid, along * voxels, across * voxels, fibres)
        return LatticeDiffusion(grid, tensor, front_fit(cell), directions=uniform.directions)

    ones = jnp.ones(grid.shape)
    whole = Monodomain(cell, diffusion(ones), (pulse,)).for_step(1.3 * config.step_ms)  # stable for faster voxels, too
    whole = whole.on_devices(grid, device_mesh())
    state = whole.initial_state(grid)
    mesh = whole.mesh([config.duration_ms], config.step_ms)
    inside = tuple(NIEDERER_2011[f"intracellular_{name}"].value for name in ("along", "across"))
    middle = np.asarray(config.grid_voxels) * config.spacing_mm / 2
    # Six electrodes around the slab and three limbs far off.
    electrodes = middle + np.array([[-30, 20, 5], [30, 20, 5], [5, -40, 5], *([x, y, 12] for x in (-4, 0, 4) for y in (-2, 2))], float)
    sources = point_sources(grid, np.zeros(3), electrodes)

    def equation(voxels: Any, channels: Any) -> tuple[Any, Any]:
        changed = cell
        for name, factor in zip(CHANNELS[config.cell_model], channels, strict=True):
            changed = eqx.tree_at(lambda c, name=name: getattr(c, name), changed, getattr(changed, name) * factor)
        return replace(whole, cell=changed, diffusion=diffusion(voxels)), changed

    def stepper(equation: Any) -> Any:
        return equation.stepper() if config.splitting == "strang" else equation.godunov()

    def activation(voxels: Any, channels: Any) -> Any:
        tissue, changed = equation(voxels, channels)
        recorder = RecordActivation(stepper(tissue), changed)
        start = recorder.start(state)
        times = simulate(recorder, start, mesh, memory_mib=config.memory_mib).final.record.activated
        reached = times < NOT_YET
        return jnp.sum(jnp.where(reached, times, 0)) / jnp.maximum(jnp.sum(reached), 1)

    def leads(voxels: Any, channels: Any) -> Any:
        tissue, changed = equation(voxels, channels)
        current = TensorDiffusion(grid, fibre_tensor(grid, inside[0] * voxels, inside[1] * voxels, fibres), closure="no flux")
        fields = lead_fields(current, sources, grid.voxel_volume)

        def seen(_: Any, state: Any) -> Any:
            return twelve_leads(fields @ changed.millivolts(state))

        seen_all = simulate(stepper(tissue), state, mesh, observe=seen, memory_mib=config.memory_mib).observations
        return jnp.sum(seen_all**2)

    random = np.random.default_rng(0)
    at = (jnp.asarray(random.uniform(0.85, 1.15, grid.shape)), jnp.ones(2))
    direction = (jnp.asarray(random.normal(size=grid.shape)), jnp.asarray(random.normal(size=2)))
    numbers: dict[str, Any] = {"cells": grid.size, "steps": len(mesh.used), "state_mib": state.size * state.dtype.itemsize / MIB}
    for name, function in {"activation": activation, "leads": leads}.items():
        if name == "leads" and not config.leads:
            continue
        value, _ = compiled(function, *at)
        both, compile_seconds = compiled(jax.value_and_grad(function, argnums=(0, 1)), *at)
        forward, backward = (warm(program, *at, repeats=config.repeats) for program in (value, both))
        gradient = both(*at)[1]
        exact = sum(float(jnp.vdot(a, b)) for a, b in zip(gradient, direction, strict=True))
        length = 1e-6 if config.precision == "float64" else 1e-2
        ahead, behind = (float(value(*[a + sign * length * d for a, d in zip(at, direction, strict=True)])) for sign in (1, -1))
        estimate = (ahead - behind) / (2 * length)
        watched = RecordActivation(stepper(whole), cell) if name == "activation" else stepper(whole)
        start = watched.start(state) if name == "activation" else state
        plan = checkpoint_plan(start, mesh, config.memory_mib, watched)
        numbers |= {
            f"{name}_forward_seconds": forward.minimum,
            f"{name}_forward_seconds_median": forward.middle,
            f"{name}_gradient_seconds": backward.minimum,
            f"{name}_gradient_seconds_median": backward.middle,
            f"{name}_gradient_to_forward": backward.minimum / forward.minimum,
            f"{name}_gradient_compile_seconds": compile_seconds,
            f"{name}_gradient_against_difference": abs(exact - estimate) / max(abs(estimate), 1e-300),
            f"{name}_planned_mib": plan.bytes / MIB,
            f"{name}_temporary_mib": both.memory_analysis().temp_size_in_bytes / MIB,
            f"{name}_checkpoints": plan.words,
        }
    return numbers | {"budget_mib": config.memory_mib, "peak_memory_mib": peak_resident_mib(), "jax": jax.__version__}
