"""Diffusion divided over host devices, strong and weak scaling: cell-steps per second, speed-up, and difference to one device."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """One process per number of devices, each device on a core of its own; on accelerators, the first devices of the machine."""

    devices: tuple[int, ...] = (1, 2)
    """Numbers of devices; the first is what the others are compared with."""

    edge_voxels: int = 192
    """Edge of the cube for strong scaling; for weak scaling each device has half as many planes."""

    stencil: Literal["7-point", "19-point"] = "7-point"
    """Diffusion with a coefficient, or with a tensor, per voxel."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the fields and of the coefficient."""

    steps: int = 80
    """Explicit steps per timed run."""

    depth: int = 0
    """Steps per exchange of halos, and planes of halo; 0 takes what the cache holds."""

    repeats: int = 5
    """Timed runs, after one that does not count."""

    unpinned: bool = True
    """Also measure one device that may use all cores, as XLA's own threads do."""

    cores: int = 0
    """Set by the benchmark for each process."""

    host_devices: int = 0
    """Set by the benchmark for each process."""

    planes: int = 0
    """Set by the benchmark for each process."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name and the number of devices as a suffix."""
    if not config.devices or min(config.devices) < 1 or min(config.steps, config.repeats) < 1 or config.depth < 0 or config.edge_voxels < 4:
        raise InputError(got=f"{config}", expected="positive numbers, and edges of at least 4 voxels", do="raise them")
    numbers: dict[str, Any] = {}
    for kind in ("strong", "weak"):
        for count in config.devices:
            planes = config.edge_voxels if kind == "strong" else max(1, config.edge_voxels // 2) * count
            one = replace(config, cores=count, host_devices=count, planes=planes)
            found = measure_in_fresh_process("benchmarks.scaling", one)
            numbers |= {f"{kind}_{name}_{count}": value for name, value in found.items()}
    first = config.devices[0]
    for count in config.devices[1:]:
        for kind in ("strong", "weak"):
            rates = [numbers[f"{kind}_cell_steps_per_second_{n}"] for n in (count, first)]
            numbers[f"{kind}_speed_up_{count}"] = rates[0] / rates[1]
            numbers[f"{kind}_efficiency_{count}"] = rates[0] / rates[1] * first / count
    if config.unpinned:
        found = measure_in_fresh_process("benchmarks.scaling", replace(config, cores=0, host_devices=1, planes=config.edge_voxels))
        numbers |= {f"unpinned_{name}_1": value for name, value in found.items()}
        for count in config.devices:
            rate = numbers[f"strong_cell_steps_per_second_{count}"]
            numbers[f"strong_speed_up_over_unpinned_{count}"] = rate / found["cell_steps_per_second"]
    return numbers


def measure(config: Config) -> dict[str, Any]:
    """One number of devices, in this process."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, warm
    from benchmarks._phantom import brain_phantom
    from solvers import Diffusion, TensorDiffusion, VoxelGrid
    from solvers.devices.sharding import decomposed, device_mesh, padded_planes, placed
    from solvers.space.edge_diffusion import EdgeDiffusion
    from solvers.steppers.blocked_diffusion import BlockedDiffusion

    edge, dtype = config.edge_voxels, jnp.dtype(config.precision)
    mesh = device_mesh(jax.devices()[: config.host_devices or None])
    phantom = brain_phantom((config.planes, edge, edge), round(0.6 * config.planes * edge**2))
    grid = VoxelGrid(padded_planes(phantom.mask, mesh), 1.0)
    coefficient = padded_planes(jnp.asarray(phantom.white + phantom.grey / 5, dtype), mesh)
    if config.stencil == "7-point":
        operator = EdgeDiffusion.of(Diffusion(grid, coefficient))
    else:
        fibres = np.ones(3) / np.sqrt(3)
        tensor = coefficient[..., None, None] * jnp.asarray(0.2 * np.eye(3) + 0.8 * np.outer(fibres, fibres), dtype)
        operator = EdgeDiffusion.of(TensorDiffusion(grid, tensor))
    whole = grid.cells(jnp.asarray(np.random.default_rng(0).random(grid.shape), dtype))

    def march(stepper: Any, field: Any) -> Any:
        length = jnp.asarray(config.steps * 1.8, dtype) / operator.spectral_bound()
        return stepper.advance(field, 0.0 * length, length)

    alone = BlockedDiffusion(operator, config.steps, config.depth or None)
    stepper = alone if mesh.size == 1 else decomposed(alone, grid, mesh)
    field = whole if mesh.size == 1 else placed(whole, grid, mesh)
    program, compile_seconds = compiled(march, stepper, field)
    timed = warm(program, stepper, field, repeats=config.repeats)
    steps, words = config.steps, len(operator.strides) + 2
    rate = config.planes * edge**2 * steps / timed.minimum
    expected = np.asarray(compiled(march, alone, whole)[0](alone, whole))
    return {
        "devices": mesh.size,
        "planes": config.planes,
        "compile_seconds": compile_seconds,
        "seconds_per_step": timed.minimum / steps,
        "cell_steps_per_second": rate,
        "nominal_gb_per_second": words * dtype.itemsize * rate / 1e9,
        "against_one_device_relative": float(np.abs(np.asarray(program(stepper, field)) - expected).max() / np.abs(expected).max()),
    }
