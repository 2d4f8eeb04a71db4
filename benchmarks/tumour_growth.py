"""Glioma growth under radiotherapy and chemotherapy, 270 days on 202 thousand voxels: time, exact gradient, memory, error."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError

PARAMETERS = ("diffusivity", "proliferation", "radiosensitivity", "drug_sensitivity")
PEER = "TumorTwin (RK4, 0.5 d), a mask of this size, float64, one core of an AMD EPYC: 21.5 s forward; measured elsewhere, not run here"


@dataclass(frozen=True)
class Config:
    """The defaults are the task size of TumorTwin's demonstration patient."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the fields and of the parameters."""

    interior_order: Literal[2, 4] = 2
    """Order of the diffusion operator in space; 2 is TumorTwin's, 4 is what twinsim uses by default."""

    grid_voxels: tuple[int, int, int] = (77, 116, 36)
    """Shape of the box."""

    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 3.0)
    """Edge lengths of a voxel."""

    active_voxels: int = 201_913
    """Voxels of the box that can carry tumour cells."""

    duration_days: float = 270.0
    """Simulated time."""

    max_step_days: float = 1.0
    """Longest time step."""

    diffusivity_white_mm2_per_day: float = 0.1
    """In white matter; a fifth of it in grey matter."""

    repeats: int = 5
    """Timed runs of each program, after one that does not count."""

    copy_mib: int = 256
    """Size of the array whose copy gives the bandwidth of the memory."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process."""
    if config.repeats < 1 or config.copy_mib < 1:
        raise InputError(got=f"repeats {config.repeats}, copy-mib {config.copy_mib}", expected="at least 1", do="raise them")
    return measure_in_fresh_process("benchmarks.tumour_growth", config)


def nominal_words(stages: int, interior_order: int) -> int:
    """Numbers read or written per cell and step when every kernel reads each input once, writes its result once, and shares nothing.

    Stencil, order 2: the field, three faces, the rate. Order 4: field, three faces, three fluxes out; then the field, three
    each of fluxes, weights and faces, the rate. First stage: state, rate, out. Second: state, stage, rate, first rate, out.
    Later ones also the stage before. Two reactions: in and out. Fractions of radiotherapy are not counted.
    """
    stencil = 5 if interior_order == 2 else 7 + 11
    return stages * stencil + 3 + 5 + 6 * (stages - 2) + 4


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process; JAX's precision must be the configuration's."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import MIB, compiled, copy_bandwidth, peak_resident_mib, resident_mib, warm
    from solvers import simulate

    model, state, meshes = _problem(config)
    dtype = state.dtype
    where = (
        lambda m: m.diffusion.scale,
        lambda m: m.proliferation,
        lambda m: m.radiotherapy.radiosensitivity,
        lambda m: m.chemotherapy.sensitivity,
    )
    parameters = jnp.stack([leaf(model) for leaf in where])
    voxel_volume = float(np.prod(config.spacing_mm))

    def burden(parameters: Any, model: Any, state: Any, mesh: Any) -> tuple[Any, Any]:
        """The tumour's volume at carrying capacity at the end, mm³, and the status."""
        model = eqx.tree_at(lambda m: [leaf(m) for leaf in where], model, list(parameters))
        solution = simulate(model.stepper(), state, mesh, jump=model.radiotherapy)
        return jnp.sum(solution.final) * voxel_volume, solution.status

    arguments = (parameters, model, state, meshes[0])
    before = resident_mib()
    forward, forward_compile = compiled(burden, *arguments)
    forward_warm = warm(forward, *arguments, repeats=config.repeats)
    gradient, gradient_compile = compiled(jax.value_and_grad(burden, has_aux=True), *arguments)
    idle = resident_mib()
    gradient_warm = warm(gradient, *arguments, repeats=config.repeats)
    peak = peak_resident_mib()

    (value, status), slopes = gradient(*arguments)
    if status != 0:
        raise RuntimeError(f"the simulation ended with status {int(status)}")
    relative = np.asarray(slopes * parameters, dtype=float)
    size = 1e-5 if dtype == jnp.float64 else 1e-2
    ends = [float(forward(parameters * (1 + sign * size), *arguments[1:])[0]) for sign in (1, -1)]
    difference = (ends[0] - ends[1]) / (2 * size)
    finer, _ = compiled(burden, parameters, model, state, meshes[1])
    fine_value = float(finer(parameters, model, state, meshes[1])[0])

    words = nominal_words(model.stages, config.interior_order)
    steps, cells = meshes[0].steps, state.size
    rates = copy_bandwidth(dtype, cells, config.copy_mib)
    traffic = words * dtype.itemsize * cells * steps / forward_warm.minimum / 1e9
    copy = max(rates["jax"], rates["numpy"])
    return {
        "active_voxels": config.active_voxels,
        "box_voxels": cells,
        "steps": steps,
        "stages_per_step": model.stages,
        "forward_compile_seconds": forward_compile,
        "gradient_compile_seconds": gradient_compile,
        "forward_seconds": forward_warm.minimum,
        "forward_seconds_median": forward_warm.middle,
        "gradient_seconds": gradient_warm.minimum,
        "gradient_seconds_median": gradient_warm.middle,
        "gradient_to_forward": gradient_warm.minimum / forward_warm.minimum,
        "active_voxel_steps_per_second": config.active_voxels * steps / forward_warm.minimum,
        "box_voxel_steps_per_second": cells * steps / forward_warm.minimum,
        "nominal_bytes_per_box_voxel_step": words * dtype.itemsize,
        "nominal_gb_per_second": traffic,
        "copy_gb_per_second_numpy": rates["numpy"],
        "copy_gb_per_second_jax": rates["jax"],
        "copy_gb_per_second_numpy_one_field": rates["numpy_field"],
        "fraction_of_copy_bandwidth": traffic / copy,
        "copy_bandwidth_used": f"{'jax' if rates['jax'] > rates['numpy'] else 'numpy'}, the larger, on {config.copy_mib} MiB",
        "forward_temporary_mib": forward.memory_analysis().temp_size_in_bytes / MIB,
        "gradient_temporary_mib": gradient.memory_analysis().temp_size_in_bytes / MIB,
        "gradient_peak_resident_increase_mib": None if idle is None else max(0.0, peak - idle),
        "process_resident_before_mib": before,
        "peak_memory_mib": peak,
        "burden_mm3": float(value),
        "time_step_error_relative": abs(float(value) - fine_value) / fine_value,
        **{f"gradient_{name}_mm3": float(slope) for name, slope in zip(PARAMETERS, relative, strict=True)},
        "gradient_along_all_mm3": float(relative.sum()),
        "central_difference_along_all_mm3": difference,
        "gradient_against_difference_relative": abs(float(relative.sum()) - difference) / abs(difference),
        "peer": PEER,
    }


def _problem(config: Config) -> tuple[Any, Any, tuple[Any, Any]]:
    """The model, the initial field, and the meshes of the asked step and of a quarter of it."""
    import jax.numpy as jnp

    from benchmarks._phantom import brain_phantom
    from physics import BAKER_1999, Chemotherapy, LinearQuadratic, ProliferationInvasion, gaussian_seed, tissue_diffusion
    from solvers import VoxelGrid, stages_for, time_mesh

    phantom = brain_phantom(config.grid_voxels, config.active_voxels)
    grid = VoxelGrid(phantom.mask, config.spacing_mm)
    dtype = jnp.dtype(config.precision)
    white, grey = jnp.asarray(phantom.white, dtype), jnp.asarray(phantom.grey, dtype)
    diffusion = tissue_diffusion(grid, white, grey, config.diffusivity_white_mm2_per_day, interior_order=config.interior_order)
    # 30 fractions of 2 Gy on weekdays from day 14; then 5 days of every 28, as often as they fit.
    fractions = [14.0 + 7 * week + day for week in range(6) for day in range(5)]
    doses = [70.0 + 28 * cycle + day for cycle in range(6) for day in range(5)]
    chemotherapy = Chemotherapy(
        times=jnp.asarray(doses, dtype),
        doses=jnp.full(len(doses), 150.0, dtype),
        elimination=jnp.asarray(BAKER_1999["elimination"].value, dtype),
        sensitivity=jnp.asarray(0.003, dtype),  # one dose kills 5 %
    )
    radiotherapy = LinearQuadratic(
        radiosensitivity=jnp.asarray(0.05, dtype),
        alpha_beta_ratio=jnp.asarray(10.0, dtype),
        doses=jnp.full(len(fractions), 2.0, dtype),
        dose_map=jnp.asarray(1.0, dtype),
    )
    model = ProliferationInvasion(
        diffusion=diffusion,
        proliferation=jnp.asarray(0.05, dtype),
        chemotherapy=chemotherapy,
        radiotherapy=radiotherapy,
        stages=stages_for(config.max_step_days * float(diffusion.spectral_bound())),
    )
    centre = jnp.asarray([index * h for index, h in zip(phantom.inside, config.spacing_mm, strict=True)], dtype)
    state = gaussian_seed(grid, centre, jnp.asarray(1500.0, dtype), width=6.0)
    meshes = tuple(
        time_mesh(0.0, [config.duration_days], config.max_step_days / part, events=fractions, breakpoints=doses) for part in (1, 4)
    )
    if state.dtype != dtype:
        raise InputError(got=f"fields of {state.dtype}", expected=config.precision, do="set jax_enable_x64 to match the precision")
    return model, state, (meshes[0], meshes[1])
