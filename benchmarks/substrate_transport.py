"""Diffusion and decay of substrates in tissue on a million voxels: lines, transform and mask, against the exact solution; beside BioFVM."""

import os
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks._peers import beside, peer_numbers
from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """BioFVM's task: a cube with closed walls, one cosine per axis on top of a constant; oxygen's coefficients."""

    host_devices: int = 0
    """Divide the cores into so many XLA devices, over which the steps on the mask are divided; 0 leaves the environment's number."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float64"
    """Of the fields; BioFVM computes in float64."""

    edge_voxels: int = 100
    """Edge of the cube."""

    spacing_um: float = 20.0
    """Edge of a voxel, in µm."""

    diffusivity_um2_per_min: float = 1e5
    """Of every substrate, in µm²/min."""

    decay_per_min: float = 0.1
    """Of every substrate, in 1/min."""

    substrates: tuple[int, ...] = (1, 10)
    """Numbers of substrates, one program each."""

    duration_min: float = 1.0
    """Simulated time, in min."""

    steps: int = 5
    """Steps of the line method; the transform takes one."""

    mask_reference_steps: int = 160
    """Steps of the reference on the mask, a stabilised method of order two on the same voxels."""

    peer_step_min: float = 0.01
    """BioFVM's step, in min."""

    repeats: int = 3
    """Timed runs of each program, after one that does not count."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name: seconds of the whole duration, and errors in the root mean square at its end.

    BioFVM runs beside where the environment variable ``TWINSIM_BIOFVM`` names a folder with its sources and there is a C++ compiler.
    """
    if min(config.repeats, config.steps, *config.substrates) < 1 or config.edge_voxels < 4 or not config.duration_min > 0:
        raise InputError(got=str(asdict(config)), expected="counts of at least 1, an edge of at least 4 and a duration", do="raise them")
    numbers = measure_in_fresh_process("benchmarks.substrate_transport", config)
    source = os.environ.get("TWINSIM_BIOFVM")
    if not source:
        return numbers
    for count in config.substrates:
        options = asdict(config) | {"source": source, "substrates": count, "threads": config.cores or os.cpu_count()}
        theirs = peer_numbers("biofvm_transport", options)
        if theirs is not None:
            kinds = ("lines", "mask") if count == 1 else ("lines",)
            seconds = {f"{kind}_{count}_substrates_seconds": theirs["seconds"] for kind in (*kinds, "transform")}
            rest = {f"{key}_{count}_substrates": value for key, value in theirs.items()}
            numbers = beside(numbers, "biofvm", rest | seconds)
    return numbers


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process; JAX's precision must be the configuration's."""
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, peak_resident_mib, warm
    from solvers import Diffusion, VoxelGrid, simulate, time_mesh
    from solvers.linear.spectral_diffusion import SpectralDiffusion
    from solvers.steppers.exponential import ExactDiffusion
    from solvers.steppers.locally_one_dimensional import LocallyOneDimensional

    n, dtype = config.edge_voxels, jnp.dtype(config.precision)
    grid = VoxelGrid(np.ones((n, n, n), bool), config.spacing_um)
    wave = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    mode = (wave[:, None, None] * wave[None, :, None] * wave[None, None, :]).reshape(-1)
    fall = 3 * config.diffusivity_um2_per_min * (np.pi / (n * config.spacing_um)) ** 2
    time = config.duration_min
    exact = np.exp(-config.decay_per_min * time) * (1 + mode * np.exp(-fall * time))
    start = jnp.asarray(1 + mode, dtype)

    def lines(grid: Any) -> LocallyOneDimensional:
        loss = jnp.full(grid.size, config.decay_per_min, dtype)
        return LocallyOneDimensional(Diffusion(grid, jnp.full(grid.shape, config.diffusivity_um2_per_min, dtype), loss=loss))

    def march(steps: int) -> Any:
        mesh = time_mesh(0.0, [time], time / steps)
        return lambda stepper, state: simulate(stepper, state, mesh).final

    def error(found: Any, truth: Any) -> float:
        return float(np.linalg.norm(np.asarray(found, float) - truth) / np.linalg.norm(truth))

    numbers: dict[str, Any] = {"voxels": n**3, "duration_min": time, "steps": config.steps}
    transform = ExactDiffusion(SpectralDiffusion(grid, jnp.asarray(config.diffusivity_um2_per_min, dtype), config.decay_per_min))
    for name, stepper, steps in (("lines", lines(grid), config.steps), ("transform", transform, 1)):
        for count in config.substrates:
            # Substrate k starts at k times the first: the same relative error, and different numbers.
            weights = jnp.arange(1, count + 1, dtype=dtype)
            state = start if count == 1 else jnp.broadcast_to(weights[:, None], (count, n**3)) * start[None]
            program, seconds = compiled(march(steps), stepper, state)
            timed = warm(program, stepper, state, repeats=config.repeats)
            final = np.asarray(program(stepper, state)).reshape(count, -1)
            numbers |= {
                f"{name}_{count}_substrates_compile_seconds": seconds,
                f"{name}_{count}_substrates_seconds": timed.minimum,
                f"{name}_{count}_substrates_seconds_median": timed.middle,
                f"{name}_{count}_substrates_error_relative": error(final[-1] / count, exact),
            }
    return numbers | _on_a_mask(config, lines, march, error) | {"peak_memory_mib": peak_resident_mib()}


def _on_a_mask(config: Config, lines: Any, march: Any, error: Any) -> dict[str, Any]:
    """The same start on a brain-shaped mask with slits, with no exact solution: errors in time, also that of BioFVM's scheme there."""
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, warm
    from benchmarks._phantom import brain_phantom
    from solvers import BlockedDiffusion, RungeKuttaChebyshev2, VoxelGrid, stages_for
    from solvers.devices.sharding import decomposed, device_mesh, placed
    from solvers.steppers.locally_one_dimensional import LocallyOneDimensional

    n, dtype = config.edge_voxels, jnp.dtype(config.precision)
    wave = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    masked = VoxelGrid(brain_phantom((n, n, n), round(0.6 * n**3)).mask, config.spacing_um)
    state = masked.cells(jnp.asarray(1 + wave[:, None, None] * wave[None, :, None] * wave[None, None, :], dtype))
    operator = lines(masked).operator
    bound = float(operator.spectral_bound()) * config.duration_min

    def stabilised(steps: int) -> RungeKuttaChebyshev2:
        return RungeKuttaChebyshev2(operator, stages_for(1.01 * bound / steps))

    reference = config.mask_reference_steps
    exact = np.asarray(compiled(march(reference), stabilised(reference), state)[0](stabilised(reference), state), float)
    numbers: dict[str, Any] = {"mask_active_voxels": int(np.asarray(masked.mask).sum())}
    # Explicit substeps: lines lose accuracy at slits to the splitting, and so few stages cost more there than many cheap steps.
    explicit, devices = BlockedDiffusion(operator, BlockedDiffusion.substeps_for(bound)), device_mesh()
    divided = explicit if devices.size == 1 else decomposed(explicit, masked, devices)
    spread = state if devices.size == 1 else placed(state, masked, devices)
    numbers |= {"mask_devices": devices.size, "mask_substeps": explicit.substeps}
    for name, stepper, steps, begin in (
        ("mask_1_substrates", divided, 1, spread),
        ("mask_lines_1_substrates", lines(masked), config.steps, state),
    ):
        program, seconds = compiled(march(steps), stepper, begin)
        timed = warm(program, stepper, begin, repeats=config.repeats)
        numbers |= {
            f"{name}_compile_seconds": seconds,
            f"{name}_seconds": timed.minimum,
            f"{name}_seconds_median": timed.middle,
            f"{name}_time_error_relative": error(program(stepper, begin), exact),
        }
    theirs, steps = LocallyOneDimensional(operator, "backward Euler"), max(1, round(config.duration_min / config.peer_step_min))
    found = compiled(march(steps), theirs, state)[0](theirs, state)
    return numbers | {"mask_biofvm_scheme_time_error_relative": error(found, exact)}
