"""Mass matrices blended between lumped and consistent, and the matching stiffness, which cancel the leading error of waves."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.operator import Operator
from solvers.shapes import Cells, Faces, Scalar
from solvers.space.diffusion import Diffusion
from solvers.space.exchange import exchange

Corner = tuple[int, int, int]


class BlendedMass(eqx.Module):
    r"""$M_\theta = (1-\theta)\,I + \theta\,M_c$ with the trilinear finite-element mass $M_c$, for $M_\theta\,u' = K_\theta\,u + f$.

    The nodes are the voxel centres and the elements the boxes between eight of them, so $M_c$ couples 27 voxels. Elements cut by a
    wall along grid planes see its mirror image; elements at staircases are lumped. Symmetric, rows and columns sum to one, positive
    definite on every mask.
    $\theta=0$ is lumped (finite volumes), $\theta=1$ consistent. With :class:`BlendedDiffusion` of the same $\theta$ the symbol of
    $M_\theta^{-1}K_\theta$ is $-\sum_a k_a^2\big(1 + (2\theta-1)k_a^2h_a^2/12 + O(h^4)\big)$: order four at $\theta = 1/2$, in every
    direction.
    With the seven-point :class:`solvers.space.diffusion.Diffusion` in place of $K_\theta$ that holds for waves along an axis only.

    Args:
        grid: The voxels. Axes of one voxel are left out; voxels in canals and at edges without a whole element keep the identity.
        theta: $\theta$, 0 to 1.

    Raises:
        ValueError: A theta outside of 0 to 1.

    Good values: 1/2; travelling fronts want the $\theta$ that makes their speed right at the resolution given. Fails: $M_c$ is not
    monotone, so for $\theta>0$ a front that is not resolved can dip below zero.
    Source: Pezzuto, Hake, Sundnes (2016), Int. J. Numer. Meth. Biomed. Engng. 32, e02762 (lumped, consistent and blended mass).
    """

    faces: tuple[Faces, ...]
    theta: Scalar
    strides: tuple[int, ...] = eqx.field(static=True)
    axes: int = eqx.field(static=True)

    def __init__(self, grid: VoxelGrid, theta: ArrayLike = 0.5) -> None:
        self.theta = _checked_theta(theta)
        couplings: dict[Corner, Array | np.ndarray] = {}
        for piece in _pieces(grid):
            for low, step in piece.pairs():
                weight = piece.share * float(np.prod([(1 if step[axis] else 2) / 6 for axis in piece.axes]))
                couplings[step] = couplings.get(step, 0.0) + weight * piece.at(low)
        self.strides, self.faces = _layout(grid, couplings, self.theta.dtype)
        self.axes = sum(n > 1 for n in grid.shape)

    def apply(self, field: Cells) -> Cells:
        """$M_\\theta u$; batch axes allowed."""
        if not self.faces:
            return field
        return field + lax.optimization_barrier(self.theta * exchange(self.strides, self.faces, field))

    def solve(self, field: Cells, tolerance: float = 1e-10) -> Cells:
        r"""$M_\theta^{-1} f$ by Chebyshev's iteration between the known bounds of the spectrum.

        The eigenvalues lie in $[1-\theta(1-3^{-d}), 1]$ on every mask of $d$ axes, so the number of iterations for a relative
        ``tolerance`` is known beforehand (14 for $10^{-10}$ at $\theta=1/2$), the map is linear and its derivative is the same map.
        A $\theta$ that is traced counts as one and costs more.
        """
        if not self.faces:
            return field
        theta = 1.0 if isinstance(self.theta, Tracer) else float(self.theta)
        low = 1 - theta * (1 - 3.0**-self.axes)
        centre, radius = (1 + low) / 2, (1 - low) / 2
        if radius == 0:
            return field
        root = np.sqrt(1 / low)
        count = int(np.ceil(np.log(2 / tolerance) / np.log((root + 1) / (root - 1))))
        ratio, weights = centre / radius, []
        before = 1 / ratio
        for _ in range(count - 1):
            now = 1 / (2 * ratio - before)
            weights.append((now * before, 2 * now / radius))
            before = now

        # A loop, not an unrolled sequence: XLA on CPU would compute the earlier iterates again for each of the 27 neighbours.
        def iterate(carry: tuple[Cells, Cells], weight: Float[Array, " two"]) -> tuple[tuple[Cells, Cells], None]:
            found, change = carry
            change = weight[0] * change + weight[1] * (field - self.apply(found))
            return (found + change, change), None

        first = field / centre
        (found, _), _ = lax.scan(iterate, (first, first), jnp.asarray(weights, field.dtype).reshape(-1, 2))
        return found


class BlendedDiffusion(Operator):
    r"""$K_\theta$: the finite-element stiffness of $s\,\nabla\cdot(D\nabla u)$, its transverse masses blended with the same $\theta$.

    On each element $K = -\sum_a \frac{D_a}{h_a^2}\,k_a \prod_{b\ne a} m_b^\theta$ with $k=(1,-1;-1,1)$ and
    $m^\theta = (1-\theta)\,\mathrm{diag}(\tfrac12,\tfrac12) + \tfrac\theta6(2,1;1,2)$, $D_a$ the mean of its active voxels; elements at
    staircases give the faces of :class:`solvers.space.diffusion.Diffusion`. Symmetric, conservative, dissipative; 27 points. At
    $\theta=0$ with constant $D$ it is the seven-point operator.

    Args:
        grid: The voxels.
        coefficient: $D$ per voxel, or three, one per axis; not negative.
        scale: $s$.
        theta: As in :class:`BlendedMass`.

    Raises:
        ValueError: A theta outside of 0 to 1, or a coefficient of another shape, negative or not finite.
    """

    faces: tuple[Faces, ...]
    scale: Scalar
    strides: tuple[int, ...] = eqx.field(static=True)
    cells: int = eqx.field(static=True)

    def __init__(
        self,
        grid: VoxelGrid,
        coefficient: ArrayLike | tuple[ArrayLike, ArrayLike, ArrayLike],
        scale: ArrayLike = 1.0,
        theta: ArrayLike = 0.5,
    ) -> None:
        theta = _checked_theta(theta)
        plain = Diffusion(grid, coefficient, scale)  # checks the coefficient and gives the faces of staircases
        given = coefficient if isinstance(coefficient, tuple) else (coefficient,) * 3
        per_axis = [jnp.where(grid.mask, jnp.asarray(values, plain.scale.dtype), 0) for values in given]
        step_mass = (0.5 - theta / 6, theta / 6)
        per_face = 2.0 ** (1 - sum(n > 1 for n in grid.shape))
        couplings: dict[Corner, Array | np.ndarray] = {}
        covered: list[Array | np.ndarray] = [np.zeros(grid.shape)] * 3
        fields = per_axis if isinstance(coefficient, tuple) else per_axis[:1]  # one mean is enough for one coefficient
        at_corners = [_at_corners(field, grid.shape) for field in fields]
        for piece in _pieces(grid):
            means = [piece.mean(corners) for corners in at_corners]
            for low, step in piece.pairs():
                if sorted(step) == [0, 0, 1]:
                    axis = step.index(1)
                    covered[axis] = covered[axis] + per_face * piece.at(low)
                weights: list[Any] = [0.0] * len(means)
                for axis in piece.axes:
                    weight = (1.0 if step[axis] else -1.0) * piece.share / grid.spacing[axis] ** 2
                    for other in piece.axes:
                        weight = weight * (step_mass[abs(step[other])] if other != axis else 1.0)
                    weights[axis % len(means)] = weights[axis % len(means)] + weight
                total = jnp.asarray(weights[0] * means[0])
                for weight, mean in zip(weights[1:], means[1:], strict=True):
                    total = total + weight * mean
                couplings[step] = couplings.get(step, 0.0) + piece.slice(total, low)
        for axis, (stride, face) in enumerate(zip(plain.strides, plain.faces, strict=True)):
            if grid.shape[axis] > 1:
                step = (int(axis == 0), int(axis == 1), int(axis == 2))
                rest = jnp.asarray(1 - covered[axis], plain.scale.dtype) * face[stride:].reshape(grid.shape)
                couplings[step] = couplings.get(step, 0.0) + rest
        self.strides, self.faces = _layout(grid, couplings, plain.scale.dtype)
        self.scale, self.cells = plain.scale, grid.size

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        if not self.faces:
            return jnp.zeros_like(field)
        return lax.optimization_barrier(self.scale * exchange(self.strides, self.faces, field))

    def spectral_bound(self) -> Scalar:
        """Gershgorin, with the couplings of either sign."""
        total = jnp.zeros(self.cells, self.scale.dtype)
        for stride, face in zip(self.strides, self.faces, strict=True):
            size = jnp.abs(face)
            total = total + size[stride:] + size[: self.cells]
        return self.scale * (jnp.max(total) + jnp.max(-self.diagonal() / jnp.where(self.scale > 0, self.scale, 1)))

    def diagonal(self) -> Cells:
        """Minus the sum of the couplings."""
        total = jnp.zeros(self.cells, self.scale.dtype)
        for stride, face in zip(self.strides, self.faces, strict=True):
            total = total + face[stride:] + face[: self.cells]
        return -self.scale * total


class _Piece(NamedTuple):
    """Elements whose active corners are the product of both ends along ``axes`` and of one ``side`` along each other axis."""

    shape: tuple[int, int, int]
    axes: tuple[int, ...]
    side: Corner
    present: Array | np.ndarray  # over the elements, one more than voxels along axes of several voxels
    share: float  # one half for each axis where the other side is missing: a mirror image has half of its element outside

    def corners(self) -> list[Corner]:
        ends = [(0, 1) if axis in self.axes else (self.side[axis],) for axis in range(3)]
        return [(x, y, z) for x, y, z in itertools.product(*ends)]

    def pairs(self) -> Iterator[tuple[Corner, Corner]]:
        """Corners and the step to a later one."""
        for low, high in itertools.permutations(self.corners(), 2):
            step = (high[0] - low[0], high[1] - low[1], high[2] - low[2])
            if step > (0, 0, 0):
                yield low, step

    def slice(self, values: Array | np.ndarray, corner: Corner) -> Array | np.ndarray:
        """At every voxel, the value of the element of which it is that corner."""
        starts = [1 - corner[axis] if n > 1 else 0 for axis, n in enumerate(self.shape)]
        return values[tuple(slice(start, start + n) for start, n in zip(starts, self.shape, strict=True))]

    def at(self, corner: Corner) -> Array | np.ndarray:
        """At every voxel, whether there is such an element of which it is that corner."""
        return self.slice(self.present, corner)

    def mean(self, at_corners: dict[Corner, Array]) -> Array:
        """Over these elements, the mean of a field over the active corners; zero elsewhere."""
        corners = self.corners()
        total = sum((at_corners[corner] for corner in corners[1:]), at_corners[corners[0]])
        return jnp.where(jnp.asarray(self.present), total / len(corners), 0)


def _pieces(grid: VoxelGrid) -> Iterator[_Piece]:
    """All sorts of elements that couple voxels."""
    thick = [axis for axis, n in enumerate(grid.shape) if n > 1]
    mask = grid.mask if isinstance(grid.mask, Tracer) else np.asarray(grid.mask)
    active = _at_corners(mask, grid.shape)
    for count in range(1, len(thick) + 1):
        for axes in itertools.combinations(thick, count):
            rest = [axis for axis in thick if axis not in axes]
            for chosen in itertools.product((0, 1), repeat=len(rest)):
                side = tuple(chosen[rest.index(axis)] if axis in rest else 0 for axis in range(3))
                piece = _Piece(grid.shape, axes, (side[0], side[1], side[2]), mask, 0.5 ** len(rest))
                members = set(piece.corners())
                present = active[piece.corners()[0]]
                for corner in active:
                    present = present & (active[corner] if corner in members else ~active[corner])
                yield piece._replace(present=present)


def _at_corners(values: Any, shape: tuple[int, int, int]) -> dict[Corner, Any]:
    """Over the elements, a voxel field at each of their corners."""
    ends = [(0, 1) if n > 1 else (0,) for n in shape]
    return {(x, y, z): _corner(values, (x, y, z), shape) for x, y, z in itertools.product(*ends)}


def _corner(values: Array | np.ndarray, corner: Corner, shape: tuple[int, int, int]) -> Array | np.ndarray:
    """Over the elements, the value of a voxel field at one corner; zero beyond the box."""
    widths = [(1 - corner[axis], corner[axis]) if n > 1 else (0, 0) for axis, n in enumerate(shape)]
    return np.pad(values, widths) if isinstance(values, np.ndarray) else _padded(values, tuple(widths))


@partial(jax.jit, static_argnames="widths", inline=True)
def _padded(values: Array, widths: tuple[tuple[int, int], ...]) -> Array:
    return jnp.pad(values, widths)


def _layout(grid: VoxelGrid, couplings: dict[Corner, Array | np.ndarray], dtype: DTypeLike) -> tuple[tuple[int, ...], tuple[Faces, ...]]:
    """Strides and faces as :func:`solvers.space.exchange.exchange` takes them."""
    strides = [sum(step * stride for step, stride in zip(direction, grid.strides, strict=True)) for direction in couplings]
    flat = [jnp.asarray(part, dtype).reshape(-1) for part in couplings.values()]
    return tuple(strides), tuple(jnp.pad(part, (stride, 0)) for stride, part in zip(strides, flat, strict=True))


def _checked_theta(theta: ArrayLike) -> Array:
    theta = jnp.asarray(theta, jnp.result_type(float))
    if not isinstance(theta, Tracer) and not 0 <= float(theta) <= 1:
        raise ValueError(f"got theta {float(theta):g}; expected 0 (lumped) to 1 (consistent); do: use 1/2 to cancel the dispersion")
    return theta
