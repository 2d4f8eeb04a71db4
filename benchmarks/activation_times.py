"""Activation times from one point on a masked grid, isotropic and along fibres: time, error, gradient."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._peers import beside, peer_numbers
from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """A ball of tissue, 60 % of its box, with a point source beside its middle."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float32"
    """Of the times and of the speeds."""

    edge_voxels: int = 50
    """Edge of the box."""

    anisotropy: float = 4.0
    """Speed along the fibre over speed across it."""

    repeats: int = 5
    """Timed runs of each program, after one that does not count."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process, scikit-fmm beside it where installed."""
    if config.repeats < 1 or config.edge_voxels < 8 or config.anisotropy < 1:
        raise InputError(
            got=f"repeats {config.repeats}, edge-voxels {config.edge_voxels}, anisotropy {config.anisotropy}",
            expected="at least 1 repeat, 8 voxels and an anisotropy of 1",
            do="raise them",
        )
    numbers = measure_in_fresh_process("benchmarks.activation_times", config)
    theirs = peer_numbers("scikit_fmm_activation", {"edge_voxels": config.edge_voxels, "repeats": config.repeats})
    return beside(numbers, "scikit_fmm", theirs)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process; JAX's precision must be the configuration's."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, warm
    from solvers.fronts.eikonal import eikonal, start_at
    from solvers.grid import VoxelGrid

    n, dtype = config.edge_voxels, jnp.dtype(config.precision)
    middle = (n - 1) / 2
    index = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1)
    mask = np.sum((index - middle) ** 2, axis=-1) < (0.523 * n) ** 2
    grid = VoxelGrid(mask, 1.0 / n)
    source = (n // 2, n // 2, n // 2)
    start = start_at(grid, [source]).astype(dtype)
    fibre = np.array([2.0, 1.0, 0.5]) / np.linalg.norm([2.0, 1.0, 0.5])
    across = 1 / config.anisotropy**2
    tensor = np.outer(fibre, fibre) * (1 - across) + across * np.eye(3)
    offset = (index - np.array(source)) / n
    media = {
        "isotropic": (np.ones((n,) * 3), np.eye(3), lambda v: eikonal(grid, start, speed=v)),
        "isotropic_26": (np.ones((n,) * 3), np.eye(3), lambda v: eikonal(grid, start, speed=v, neighbours=26)),
        "anisotropic": (np.broadcast_to(tensor, (n, n, n, 3, 3)), tensor, lambda v: eikonal(grid, start, squared_speed=v)),
    }
    numbers: dict[str, Any] = {"active_voxels": int(mask.sum())}
    for name, (values, squared_speed, solve) in media.items():

        def total(values: Any, solve: Any = solve) -> Any:
            times = solve(values).times
            return jnp.sum(jnp.where(jnp.isfinite(times), times, 0))

        medium = jnp.asarray(values, dtype)
        program, compile_seconds = compiled(solve, medium)
        gradient, gradient_compile_seconds = compiled(jax.value_and_grad(total), medium)
        arrival = program(medium)
        exact = np.sqrt(np.einsum("xyzi,ij,xyzj->xyz", offset, np.linalg.inv(squared_speed), offset))
        # Straight rays stay inside a ball.
        error = np.abs(np.asarray(arrival.times, float).reshape(mask.shape) - exact)[mask]
        forward = warm(program, medium, repeats=config.repeats)
        backward = warm(gradient, medium, repeats=config.repeats)
        numbers |= {
            f"{name}_seconds": forward.minimum,
            f"{name}_compile_seconds": compile_seconds,
            f"{name}_rounds": int(arrival.rounds),
            f"{name}_status": int(arrival.status),
            f"{name}_error_mean_relative": float(error.mean() / exact[mask].max()),
            f"{name}_error_largest_relative": float(error.max() / exact[mask].max()),
            f"{name}_gradient_to_forward": backward.minimum / forward.minimum,
            f"{name}_gradient_compile_seconds": gradient_compile_seconds,
        }
    return numbers
