"""How long a twin's forward and gradient take: warm, compile time apart."""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from solvers import TimeMesh
from twinsim.glioma import GliomaTwin
from twinsim.glioma_model import GliomaModel
from twinsim.glioma_priors import TISSUE_PRIORS


def measure(twin: GliomaTwin, mesh: TimeMesh) -> dict[str, float]:
    """Seconds of the burden at the horizon from onset, and of its gradient with respect to all tissue parameters (reverse mode).

    Args:
        twin: A calibrated twin.
        mesh: From its last scan to the horizon.

    Returns:
        ``forward_seconds`` and ``gradient_seconds`` (value included), the smaller of two warm runs, and ``compile_seconds`` of both.
    """
    z = jnp.asarray(twin.calibrated.mean[: len(TISSUE_PRIORS)], twin.model.centre.dtype)
    doses = jnp.asarray(twin.given_doses, z.dtype)
    later = jnp.zeros(int(mesh.event.max()) + 1, z.dtype)
    arguments = (twin.model, twin.scan_mesh, mesh, doses, later)
    forward, cold_forward = _timed(lambda: _burden(z, *arguments))
    gradient, cold_gradient = _timed(lambda: _burden_gradient(z, *arguments))
    return {
        "forward_seconds": forward,
        "gradient_seconds": gradient,
        "compile_seconds": cold_forward + cold_gradient - forward - gradient,
    }


def _timed(call) -> tuple[float, float]:  # noqa: ANN001 (any callable without arguments)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:]), seconds[0]


def _final_burden(z: Array, model: GliomaModel, before: TimeMesh, after: TimeMesh, doses: Array, later: Array) -> Array:
    states, _ = model.grow(z, before, doses)
    final, _, _ = model.go_on(z, states[-1], after, later)
    return final[-1].sum() * model.grid.voxel_volume


_burden = eqx.filter_jit(_final_burden)
_burden_gradient = eqx.filter_jit(jax.value_and_grad(_final_burden))
