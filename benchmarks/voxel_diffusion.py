"""The bare diffusion operator and its Runge-Kutta-Chebyshev step on masked cubes: throughput and cost of gradients."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """Two sizes by default: fields of 3.4 MiB, which a large cache holds, and of 27 MiB (float32), which it does not."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the fields and of the coefficient."""

    interior_order: Literal[2, 4] = 2
    """Order of the operator in space."""

    edge_voxels: tuple[int, ...] = (96, 192)
    """Edges of the cubes."""

    active_fraction: float = 0.6
    """Part of each cube inside its mask."""

    steps: int = 16
    """Steps of two stages per timed run; as many applications for the bare operator."""

    repeats: int = 5
    """Timed runs of each program, after one that does not count."""

    copy_mib: int = 256
    """Size of the array whose copy gives the bandwidth of the memory."""

    host_devices: int = 0
    """XLA devices made of the cores, over which the blocked steps are divided; 0 leaves the environment's number, usually one."""

    blocked_steps: int = 100
    """Explicit steps of the blocked rows per timed run, and for their gradient."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name and the edge of the cube as a suffix; measured in a fresh process."""
    if (
        min(config.repeats, config.copy_mib, config.steps, config.blocked_steps) < 1
        or not config.edge_voxels
        or min(config.edge_voxels) < 4
    ):
        raise InputError(
            got=f"repeats {config.repeats}, copy-mib {config.copy_mib}, steps {config.steps}, edge-voxels {config.edge_voxels}",
            expected="at least 1, and edges of at least 4 voxels",
            do="raise them",
        )
    return measure_in_fresh_process("benchmarks.voxel_diffusion", config)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process; JAX's precision must be the configuration's."""
    import numpy as np

    from benchmarks._measure import copy_bandwidth

    numbers: dict[str, Any] = {}
    for edge in config.edge_voxels:
        numbers |= {f"{name}_{edge}": value for name, value in _one_size(config, edge).items()}
    rates = copy_bandwidth(np.dtype(config.precision), min(config.edge_voxels) ** 3, config.copy_mib)
    copy = max(rates["jax"], rates["numpy"])
    for edge in config.edge_voxels:
        numbers |= {f"{name}_{edge}": value for name, value in _blocked(config, edge).items()}
        for part in ("operator", "step", "blocked_7_point", "blocked_19_point"):
            numbers[f"{part}_fraction_of_copy_bandwidth_{edge}"] = numbers[f"{part}_nominal_gb_per_second_{edge}"] / copy
    return numbers | {
        "copy_gb_per_second_numpy": rates["numpy"],
        "copy_gb_per_second_jax": rates["jax"],
        "copy_gb_per_second_numpy_smallest_field": rates["numpy_field"],
        "copy_bandwidth_used": f"{'jax' if rates['jax'] > rates['numpy'] else 'numpy'}, the larger, on {config.copy_mib} MiB",
    }


def _blocked(config: Config, edge: int) -> dict[str, Any]:
    """Explicit steps by temporal blocking: nominal bytes are the coefficients once, the field once in and once out, per step."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax import lax

    from benchmarks._measure import compiled, warm
    from benchmarks._phantom import brain_phantom
    from solvers import Diffusion, TensorDiffusion, VoxelGrid
    from solvers.devices.sharding import decomposed, device_mesh, placed
    from solvers.space.edge_diffusion import EdgeDiffusion
    from solvers.steppers.blocked_diffusion import BlockedDiffusion

    shape, dtype = (edge, edge, edge), jnp.dtype(config.precision)
    phantom = brain_phantom(shape, round(config.active_fraction * edge**3))
    grid, mesh = VoxelGrid(phantom.mask, 1.0), device_mesh()
    field = grid.cells(jnp.asarray(np.random.default_rng(0).random(shape), dtype))
    coefficient = jnp.asarray(phantom.white + phantom.grey / 5, dtype)
    fibres = np.ones(3) / np.sqrt(3)
    shares = jnp.asarray(0.2 * np.eye(3) + 0.8 * np.outer(fibres, fibres), dtype)
    tensor = jnp.multiply.outer(coefficient, shares)
    numbers: dict[str, Any] = {"blocked_devices": mesh.size}

    def march(stepper: Any, field: Any, length: Any) -> Any:
        return stepper.advance(field, 0.0 * length, config.blocked_steps * length)

    def single(operator: Any, field: Any) -> Any:
        length = jnp.asarray(1.8, dtype) / operator.spectral_bound()
        return lax.fori_loop(0, config.blocked_steps, lambda _, u: u + length * operator.apply(u), field)

    field = placed(field, grid, mesh) if mesh.size > 1 else field
    for name, operator in (("7", Diffusion(grid, coefficient)), ("19", EdgeDiffusion.of(TensorDiffusion(grid, tensor)))):
        length = jnp.asarray(1.8, dtype) / operator.spectral_bound()
        stepper = BlockedDiffusion(operator, config.blocked_steps)
        whole = stepper if mesh.size == 1 else decomposed(stepper, grid, mesh)  # cut once, as a user's program does
        program, seconds = compiled(march, whole, field, length)
        timed = warm(program, whole, field, length, repeats=config.repeats)
        reference, _ = compiled(single, operator, field)
        expected = np.asarray(reference(operator, field))
        rate = edge**3 * config.blocked_steps / timed.minimum
        words = len(operator.strides) + 2
        numbers |= {
            f"blocked_{name}_point_compile_seconds": seconds,
            f"blocked_{name}_point_box_cells_per_second": rate,
            f"blocked_{name}_point_nominal_gb_per_second": words * dtype.itemsize * rate / 1e9,
            f"blocked_{name}_point_against_single_steps_relative": float(
                np.abs(np.asarray(program(whole, field, length)) - expected).max() / np.abs(expected).max()
            ),
        }
    if mesh.size > 1:  # the gradient is measured on one device
        return numbers

    from solvers.steppers.blocked_diffusion import diffuse

    bound = Diffusion(grid, coefficient).spectral_bound()

    def value(coefficient: Any, field: Any) -> Any:
        final = diffuse(Diffusion(grid, coefficient), field, 1.8 * config.blocked_steps / bound, config.blocked_steps)
        return jnp.vdot(final, final)

    forward, _ = compiled(value, coefficient, field)
    forward_warm = warm(forward, coefficient, field, repeats=config.repeats)
    both, _ = compiled(jax.value_and_grad(value), coefficient, field)
    both_warm = warm(both, coefficient, field, repeats=config.repeats)
    to_initial, _ = compiled(jax.value_and_grad(value, 1), coefficient, field)
    size = 1e-5 if dtype == jnp.float64 else 1e-2
    ends = [float(forward(coefficient * (1 + sign * size), field)) for sign in (1, -1)]
    slope, difference = float(jnp.vdot(both(coefficient, field)[1], coefficient)), (ends[0] - ends[1]) / (2 * size)
    return numbers | {
        "blocked_gradient_coefficient_to_forward": both_warm.minimum / forward_warm.minimum,
        "blocked_gradient_field_to_forward": warm(to_initial, coefficient, field, repeats=config.repeats).minimum / forward_warm.minimum,
        "blocked_gradient_coefficient_against_difference_relative": abs(slope - difference) / abs(difference),
        "blocked_gradient_temporary_fields": both.memory_analysis().temp_size_in_bytes / field.nbytes,
    }


def _one_size(config: Config, edge: int) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax import lax

    from benchmarks._measure import compiled, warm
    from benchmarks._phantom import brain_phantom
    from solvers import Diffusion, RungeKuttaChebyshev2, VoxelGrid, simulate, stability_limit, time_mesh

    shape = (edge, edge, edge)
    phantom = brain_phantom(shape, round(config.active_fraction * edge**3))
    grid = VoxelGrid(phantom.mask, 1.0)
    dtype = jnp.dtype(config.precision)
    random = np.random.default_rng(0)
    field = grid.cells(jnp.asarray(random.random(shape), dtype))
    if field.dtype != dtype:
        raise InputError(got=f"fields of {field.dtype}", expected=config.precision, do="set jax_enable_x64 to match the precision")
    coefficient = jnp.asarray(phantom.white + phantom.grey / 5, dtype)
    unit = Diffusion(grid, coefficient, 1.0, config.interior_order)
    # Steps of length one at nine tenths of the limit of two stages; the bare operator is scaled to keep its powers bounded.
    scale = jnp.asarray(0.9 * stability_limit(2) / unit.spectral_bound(), dtype)
    mesh = time_mesh(0.0, [float(config.steps)], 1.0)

    bare = Diffusion(grid, coefficient, 1 / unit.spectral_bound(), config.interior_order)

    def powers(operator: Any, field: Any) -> Any:
        return lax.fori_loop(0, config.steps, lambda _, u: operator.apply(u), field)

    def march(scale: Any, coefficient: Any, grid: Any, field: Any) -> Any:
        """The sum of squares at the end, with the operator built inside, so that a gradient reaches the coefficient."""
        operator = Diffusion(grid, coefficient, scale, config.interior_order)
        final = simulate(RungeKuttaChebyshev2(operator, 2), field, mesh).final
        return jnp.vdot(final, final)

    arguments = (scale, coefficient, grid, field)
    apply, apply_compile = compiled(powers, bare, field)
    apply_warm = warm(apply, bare, field, repeats=config.repeats)
    forward, forward_compile = compiled(march, *arguments)
    forward_warm = warm(forward, *arguments, repeats=config.repeats)
    to_scale, _ = compiled(jax.value_and_grad(march, argnums=0), *arguments)
    to_scale_warm = warm(to_scale, *arguments, repeats=config.repeats)
    to_field, field_compile = compiled(jax.value_and_grad(march, argnums=1), *arguments)
    to_field_warm = warm(to_field, *arguments, repeats=config.repeats)

    size = 1e-5 if dtype == jnp.float64 else 1e-2
    numbers: dict[str, Any] = {}
    for name, slope, moved in (
        ("scale", float(to_scale(*arguments)[1] * scale), lambda s: (scale * (1 + s), coefficient)),
        ("coefficient", float(jnp.vdot(to_field(*arguments)[1], coefficient)), lambda s: (scale, coefficient * (1 + s))),
    ):
        ends = [float(forward(*moved(sign * size), grid, field)) for sign in (1, -1)]
        difference = (ends[0] - ends[1]) / (2 * size)
        numbers[f"gradient_{name}_against_difference_relative"] = abs(slope - difference) / abs(difference)

    stencil = 5 if config.interior_order == 2 else 7 + 11
    cells, steps = edge**3, config.steps
    operator_words, step_words = stencil, 2 * stencil + 3 + 5
    return {
        "active_voxels": int(phantom.mask.sum()),
        "operator_compile_seconds": apply_compile,
        "forward_compile_seconds": forward_compile,
        "gradient_coefficient_compile_seconds": field_compile,
        "operator_seconds": apply_warm.minimum / steps,
        "operator_box_cells_per_second": cells * steps / apply_warm.minimum,
        "operator_nominal_gb_per_second": operator_words * dtype.itemsize * cells * steps / apply_warm.minimum / 1e9,
        "step_seconds": forward_warm.minimum / steps,
        "step_seconds_median": forward_warm.middle / steps,
        "step_box_cells_per_second": cells * steps / forward_warm.minimum,
        "step_nominal_gb_per_second": step_words * dtype.itemsize * cells * steps / forward_warm.minimum / 1e9,
        "gradient_scale_to_forward": to_scale_warm.minimum / forward_warm.minimum,
        "gradient_coefficient_to_forward": to_field_warm.minimum / forward_warm.minimum,
        **numbers,
    }
