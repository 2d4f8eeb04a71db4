"""Implicit diffusion one axis at a time: lines of voxels solved at once by the tridiagonal algorithm, on any mask."""

from collections.abc import Callable
from typing import Literal, get_args

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from solvers.shapes import Cells, Faces, Scalar
from solvers.space.diffusion import Diffusion
from solvers.space.exchange import exchange
from solvers.stepper import Stepper

Scheme = Literal["Crank-Nicolson", "L-stable", "backward Euler"]
Solve = Callable[[Cells], Cells]
ROOT = 2**0.5


class LocallyOneDimensional(Stepper):
    r"""$X_{h/2}\,Y_{h/2}\,Z_h\,Y_{h/2}\,X_{h/2}$, where each factor is one implicit step of the diffusion along one axis.

    With $A$ the diffusion along the axis and $S_\tau = (I-\tau A)^{-1}$ the factor over a time $k$ is, by ``scheme``,

    * ``Crank-Nicolson``: $2 S_{k/2} - I$. Order two; keeps every mode bounded, but modes with $k|\lambda|\gg1$ only swap sign.
    * ``L-stable``: $(\sqrt2+1) S_\tau^2 - \sqrt2\,S_\tau$ with $\tau = (1-\sqrt{1/2})\,k$. Order two; rough data are smoothed at once;
      two solves, and a larger error constant.
    * ``backward Euler``: $X_h Y_h Z_h$ with $S_k$. Order one, monotone: a density stays positive for every step length.

    $A$ is symmetric and dissipative on every mask, so each factor is a contraction in the root mean square and the product is stable
    for every step length, with the mass kept to round-off. The operator's ``loss`` is taken exactly, half before and half after.

    Args:
        operator: Diffusion of ``interior_order`` 2: cells that exchange with the next along an axis only.
        scheme: See above.

    Cost: five (three) line solves, each reading or writing the field about seven times, and three factorisations per step, shared
    by all components of the state. Fails: the splitting between axes errs by commutators of the axes' operators at second order:
    zero for constant coefficients on a box, largest where coefficients jump or walls run obliquely; a steady state with sources is
    met up to $O(h^2)$ only. On an accelerator the recursion along the line is a loop of as many steps as the axis has voxels.

    Raises:
        ValueError: Another scheme or kind of operator, order 4 in the interior, or walls with a condition.

    Source: Samarskii (1963), USSR Comput. Math. Math. Phys. 2, 894 (locally one-dimensional scheme); Strang (1968), SIAM J. Numer. Anal. 5,
    506, equation 2.5; Lawson, Morris (1978), SIAM J. Numer. Anal. 15, 1212, equation 2.7 (the L-stable extrapolation).
    """

    operator: Diffusion
    scheme: Scheme = eqx.field(static=True, default="Crank-Nicolson")

    def __check_init__(self) -> None:
        if self.scheme not in get_args(Scheme):
            raise ValueError(f"got scheme {self.scheme!r}; expected one of {', '.join(get_args(Scheme))}; do: choose one of them")
        if not isinstance(self.operator, Diffusion):
            raise ValueError(f"got {type(self.operator).__name__}; expected Diffusion; do: use CrankNicolson or ImplicitExplicit")
        if self.operator.correction is not None:
            raise ValueError("got an operator of interior_order 4; expected 2, whose lines are tridiagonal; do: build Diffusion with 2")
        if self.operator.source is not None:
            raise ValueError("got an operator with walls; expected no flux through every wall; do: use CrankNicolson or ImplicitExplicit")

    @property
    def order(self) -> int:
        """One for backward Euler, else two."""
        return 1 if self.scheme == "backward Euler" else 2

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.stepper.Stepper`."""
        del time
        operator, length = self.operator, length.astype(state.dtype)
        step = length * operator.scale
        axes = _lines(operator.strides, operator.faces, state.shape[-1])
        factors = (
            [self._factor(line, step) for line in axes[:-1]] if self.order == 1 else [self._factor(line, step / 2) for line in axes[:-1]]
        )
        last = [self._factor(line, step) for line in axes[-1:]]
        loss = None if operator.loss is None else jnp.broadcast_to(jnp.exp(-step / 2 * operator.loss), state.shape)
        state = state if loss is None else loss * state
        for factor in (*factors, *last, *(factors[::-1] if self.order == 2 else ())):
            state = lax.optimization_barrier(factor(state))
        return state if loss is None else loss * state

    def _factor(self, line: "_Line", step: Scalar) -> Solve:
        """The map along one axis over a time ``step``, which includes the operator's scale; its lines are factorised once."""
        if self.scheme == "backward Euler":
            return _solver(line, step)
        if self.scheme == "Crank-Nicolson":
            solve = _solver(line, step / 2)
            return lambda field: 2 * solve(field) - field
        solve = _solver(line, (1 - 1 / ROOT) * step)

        def extrapolated(field: Cells) -> Cells:
            once = solve(field)
            # As increments: the rounded weights of the three would not sum to one.
            change = solve(once) - once
            return once + (ROOT + 1) * change

        return extrapolated


class _Line(eqx.Module):
    """An axis: how its lines lie in the flat field, and its faces in the layout of :func:`solvers.space.exchange.exchange`."""

    faces: Faces
    stride: int = eqx.field(static=True)
    count: int = eqx.field(static=True)

    def split(self, flat: Array) -> Array:
        """``(*batch, cells)`` to ``(count, *batch, lines)``: position on the line first."""
        batch = flat.shape[:-1]
        lines = jnp.moveaxis(flat.reshape(*batch, -1, self.count, self.stride), -2, 0)
        return lines.reshape(self.count, *batch, -1)

    def join(self, lines: Array) -> Array:
        """The inverse of :meth:`split`."""
        batch = lines.shape[1:-1]
        return jnp.moveaxis(lines.reshape(self.count, *batch, -1, self.stride), 0, -2).reshape(*batch, -1)


def _lines(strides: tuple[int, ...], faces: tuple[Faces, ...], cells: int) -> list[_Line]:
    """The axes of more than one voxel."""
    counts = [outer // stride for outer, stride in zip((cells, *strides[:-1]), strides, strict=True)]
    axes = [_Line(face, stride, count) for stride, face, count in zip(strides, faces, counts, strict=True)]
    return [axis for axis in axes if axis.count > 1] or axes[-1:]


def _solver(line: _Line, weight: Scalar) -> Solve:
    r"""$(I - \tau A)^{-1}$ for one axis, factorised; its derivatives are further solves and stencils, never those of the recursion."""
    frozen, fixed = lax.stop_gradient(weight), lax.stop_gradient(line.faces)
    cells = fixed.shape[0] - line.stride
    inverse, ahead = _factorise(line.split(frozen * fixed[:cells]), line.split(frozen * fixed[line.stride :]))

    def matrix(field: Cells) -> Cells:
        return field - weight * exchange((line.stride,), (line.faces,), field)

    def solve(_: Solve, field: Cells) -> Cells:
        return line.join(_substitute(inverse, ahead, line.split(field)))

    return lambda field: lax.custom_linear_solve(matrix, field, solve, symmetric=True)


def _factorise(below: Array, above: Array) -> tuple[Array, Array]:
    r"""$1/d_i$ and $c_{i+1/2}/d_i$ of $LDL^T$: $d_i = g_i + c_{i+1/2}$, $g_i = 1 + c_{i-1/2}\,g_{i-1}/d_{i-1}$, without cancellation."""
    ones = jnp.ones_like(below[0])

    def one(carry: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        rest, inverse = carry
        low, high = row
        rest = 1 + low * rest * inverse
        inverse = 1 / (rest + high)
        return (rest, inverse), (inverse, high * inverse)

    return lax.scan(one, (ones, ones), (below, above))[1]


def _substitute(inverse: Array, ahead: Array, right: Array) -> Array:
    """Forward and backward along the line, all lines at once."""
    start = jnp.zeros_like(right[0])

    def forward(carry: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        value, factor = row
        total = value + carry
        return jnp.broadcast_to(factor, total.shape) * total, total

    def backward(carry: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        value, factor, scale = row
        total = jnp.broadcast_to(scale, value.shape) * value + jnp.broadcast_to(factor, value.shape) * carry
        return total, total

    middle = lax.scan(forward, start, (right, ahead))[1]
    return lax.scan(backward, start, (middle, ahead, inverse), reverse=True)[1]
