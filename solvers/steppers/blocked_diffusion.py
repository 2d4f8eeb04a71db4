"""Explicit diffusion substeps that pass through memory together."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from solvers.operator import Operator
from solvers.shapes import Cells, Flag, Scalar
from solvers.space.edge_diffusion import EdgeDiffusion
from solvers.stepper import Stepper
from solvers.steppers.blocked_march import march


def diffuse(operator: Operator, field: Cells, length: ArrayLike, steps: int, depth: int | None = None) -> Cells:
    r"""``steps`` forward Euler steps of $u' = Lu$ over the time ``length`` in all; see :func:`solvers.steppers.blocked_march.march`.

    Args:
        operator: :class:`solvers.space.diffusion.Diffusion` of order 2, :class:`solvers.space.tensor_diffusion.TensorDiffusion` or
            :class:`solvers.space.edge_diffusion.EdgeDiffusion`; no periodic walls.
        field: A flat field; leading batch axes are allowed.
        length: Time.
        steps: How many, static.
        depth: Steps per pass through memory; None lets it be chosen.

    Raises:
        ValueError: An operator of another kind, a field of another size, a negative number of steps; a known length that is negative,
            not finite, or above two over the spectral bound per step. Traced values can't be looked at: the field then grows.
    """
    if steps < 0:
        raise ValueError(f"got {steps} steps; expected at least 0; do: use BlockedDiffusion.substeps_for")
    _check_length(operator, length, steps)
    return _diffused(operator, field, length, steps, depth)


def _diffused(operator: Operator, field: Cells, length: ArrayLike, steps: int, depth: int | None) -> Cells:
    edges = EdgeDiffusion.of(operator)
    cells = edges.faces[0].shape[0] - edges.strides[0]
    if field.shape[-1:] != (cells,):
        raise ValueError(f"got a field of shape {field.shape}; expected {cells} cells last; do: use grid.cells(volume)")
    strides, faces = edges.strides, edges.faces
    if edges.loss is not None:
        strides, faces = (*strides, 0), (*faces, edges.loss)
    factor = edges.scale * (jnp.asarray(length, field.dtype) / max(steps, 1))

    def one(field: Cells) -> Cells:
        return march(strides, faces, factor, field, steps, depth)

    return one(field) if field.ndim == 1 else jax.vmap(one)(field.reshape(-1, field.shape[-1])).reshape(field.shape)


def _check_length(operator: Operator, length: ArrayLike, steps: int) -> None:
    if isinstance(length, Tracer):
        return
    value = float(np.asarray(length))
    if not (np.isfinite(value) and value >= 0):
        raise ValueError(f"got a length of {value}; expected a finite time that is not negative; do: diffusion runs forwards only")
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(operator)):
        return
    reach = value * float(operator.spectral_bound())
    if not reach <= 2 * max(steps, 1) * (1 + 1e-5):
        fewest = BlockedDiffusion.substeps_for(reach) if np.isfinite(reach) else "finite coefficients and more"
        raise ValueError(f"got {steps} steps for a length of {value:g}; expected at least {fewest}; do: take that many, or less time")


class BlockedDiffusion(Stepper):
    r"""$n$ forward Euler substeps of $u'=Lu$ per step, as fast as memory allows and with the cheapest exact gradient.

    $u \leftarrow (1 + \tfrac{h}{n} L)^n u$. Where the explicit limit sets the step anyway (fine voxels, fast diffusion, float32) this
    is the cheapest way to diffuse: about ten times fewer bytes per substep than a stage of a Runge-Kutta method.

    Args:
        operator: As in :func:`diffuse`.
        substeps: $n$; :meth:`substeps_for` gives the fewest.
        depth: Substeps per pass through memory; None lets it be chosen.

    Fails when $h/n$ exceeds two over the operator's spectral bound (``stable`` says so). First order in time: in a second-order
    splitting its error of $h^2\lambda^2/2n$ per mode is to be weighed against the others, or use RungeKuttaChebyshev2.
    """

    operator: Operator
    substeps: int = eqx.field(static=True)
    depth: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.substeps < 1:
            raise ValueError(f"got {self.substeps} substeps; expected at least 1; do: use BlockedDiffusion.substeps_for")
        EdgeDiffusion.of(self.operator)

    @staticmethod
    def substeps_for(step_times_spectral_bound: float) -> int:
        """The fewest stable substeps for a step length times a spectral bound."""
        return max(1, -int(-step_times_spectral_bound // 2))

    @property
    def order(self) -> int:
        """One."""
        return 1

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`."""
        del time
        return _diffused(self.operator, state, length, self.substeps, self.depth)

    def stable(self, length: Scalar) -> Flag:
        """A substep times the spectral bound is at most two (a hair of round-off allowed), and the bound neither negative nor NaN.

        Seen is any negative traced coefficient of a Diffusion; not an indefinite tensor, nor edges given as EdgeDiffusion.
        """
        bound = self.operator.spectral_bound()
        return (length / self.substeps * bound <= 2 * (1 + 1e-5)) & (bound >= 0)
