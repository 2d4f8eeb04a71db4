"""Diffusion with a constant coefficient on a full box, diagonal in sines and cosines."""

from typing import Literal, get_args

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.linear.transforms import basis, product_along
from solvers.operator import Operator
from solvers.shapes import Cells, Scalar

Symbol = Literal["finite volume", "exact"]


class SpectralDiffusion(Operator):
    r"""$L u = D\,\Delta u - \lambda u$ on a box with no flux through its walls, or periodic, with $L = T^{-1}\,\mathrm{diag}\,T$.

    Along an axis without flux $T$ is the cosine transform at voxel centres, $k_m = \pi m/(n h)$, done as a product with a matrix
    (:func:`solvers.linear.transforms.basis`); along a periodic axis it is the Fourier transform, $k_m = 2\pi m/(n h)$.

    Args:
        grid: A mask without a hole.
        coefficient: $D$, length²/time, not negative: one number, or one per component of a stacked state.
        loss: $\lambda$, 1/time, not negative, the same.
        periodic: Per axis, or one for all.
        symbol: ``finite volume`` has the eigenvalues $-D(2 - 2\cos k_m h)/h^2$, those of :class:`solvers.space.diffusion.Diffusion`, second
            order in space; ``exact`` has $-D k_m^2$, which is exact for all that the grid resolves.

    Raises:
        ValueError: A hole in the mask, a value that is negative or not finite, or neither a number nor one per component.

    Fails: a front or a jump that the voxels do not resolve overshoots with ``exact``.
    Source: Strang (1999), SIAM Review 41, 135, section 2 (the cosine transform's matrices).
    """

    coefficient: Float[Array, "*components"]
    loss: Float[Array, "*components"]
    shape: tuple[int, int, int] = eqx.field(static=True)
    spacing: tuple[float, float, float] = eqx.field(static=True)
    periodic: tuple[bool, bool, bool] = eqx.field(static=True)
    symbol: Symbol = eqx.field(static=True)

    def __init__(
        self,
        grid: VoxelGrid,
        coefficient: ArrayLike,
        loss: ArrayLike = 0.0,
        periodic: bool | tuple[bool, bool, bool] = False,
        symbol: Symbol = "finite volume",
    ) -> None:
        if not isinstance(grid.mask, Tracer) and not np.asarray(grid.mask).all():
            raise ValueError(
                "got a mask with inactive voxels; expected a full box; do: use Diffusion with an implicit or stabilised stepper"
            )
        if symbol not in get_args(Symbol):
            raise ValueError(f"got symbol {symbol!r}; expected one of {', '.join(get_args(Symbol))}; do: choose one of them")
        self.coefficient, self.loss = _checked(coefficient, "coefficient"), _checked(loss, "loss")
        self.shape, self.spacing = grid.shape, grid.spacing
        x, y, z = (periodic, periodic, periodic) if isinstance(periodic, bool) else periodic
        self.periodic = (x and grid.shape[0] > 1, y and grid.shape[1] > 1, z and grid.shape[2] > 1)
        self.symbol = symbol

    def eigenvalues(self) -> Array:
        """Of every mode, in the layout of :meth:`transform`, with a leading axis where there is a coefficient per component."""
        total = np.zeros(())
        for axis in range(3):
            values = _symbol(self.shape[axis], self.spacing[axis], self.periodic[axis], self.symbol)
            if axis == self._halved:
                values = values[: self.shape[axis] // 2 + 1]
            total = total + values.reshape([-1 if a == axis else 1 for a in range(3)])
        laplacian = jnp.asarray(total, self.coefficient.dtype)
        components = jnp.broadcast_shapes(self.coefficient.shape, self.loss.shape)
        shape = (*components, *laplacian.shape)
        coefficient, loss = (
            jnp.broadcast_to(jnp.broadcast_to(values, components)[..., None, None, None], shape) for values in (self.coefficient, self.loss)
        )
        return -coefficient * jnp.broadcast_to(laplacian, shape) - loss

    def transform(self, field: Cells) -> Array:
        """$T u$ with the axes ``(*batch, kx, ky, kz)``."""
        volume = field.reshape(*field.shape[:-1], *self.shape)
        for axis in range(3):
            if not self.periodic[axis]:
                volume = product_along(volume, axis, basis(self.shape[axis], "no flux")[0])
        waves = self._waves(volume.ndim)
        return jnp.fft.rfftn(volume, axes=waves) if waves else volume

    def inverse(self, modes: Array) -> Cells:
        """$T^{-1}$ of what :meth:`transform` gives, as cells."""
        waves = self._waves(modes.ndim)
        if waves:
            modes = jnp.fft.irfftn(modes, s=[self.shape[axis - (modes.ndim - 3)] for axis in waves], axes=waves)
        for axis in range(3):
            if not self.periodic[axis]:
                modes = product_along(modes, axis, basis(self.shape[axis], "no flux")[0].T)
        return modes.reshape(*modes.shape[:-3], -1)

    def apply(self, field: Cells) -> Cells:
        """See :class:`solvers.operator.Operator`."""
        return self.function(self.eigenvalues(), field)

    def function(self, values: Array, field: Cells) -> Cells:
        """$f(L)u$ for the values of $f$ at the eigenvalues."""
        modes = self.transform(field)
        return self.inverse(jnp.broadcast_to(values.astype(field.dtype), modes.shape) * modes)

    def spectral_bound(self) -> Scalar:
        """The largest eigenvalue itself."""
        return jnp.max(-self.eigenvalues())

    def solve(self, shift: Scalar, rhs: Cells, guess: Cells) -> Cells:
        r"""$(\sigma - L)^{-1} r$, exactly; the guess is not needed. See :class:`solvers.steppers.implicit_solve.ShiftedSolver`."""
        del guess
        return self.function(1 / (shift.astype(self.coefficient.dtype) - self.eigenvalues()), rhs)

    @property
    def _halved(self) -> int | None:
        """The axis along which a real field needs only half of the waves: the last periodic one."""
        axes = [axis for axis in range(3) if self.periodic[axis]]
        return axes[-1] if axes else None

    def _waves(self, rank: int) -> list[int]:
        return [rank - 3 + axis for axis in range(3) if self.periodic[axis]]


def _symbol(count: int, spacing: float, periodic: bool, symbol: Symbol) -> np.ndarray:
    """The eigenvalues of minus the second derivative along an axis."""
    number = np.fft.fftfreq(count) * count if periodic else np.arange(count)
    wave = (2 if periodic else 1) * np.pi * np.abs(number) / (count * spacing)
    return wave**2 if symbol == "exact" else (2 * np.sin(wave * spacing / 2) / spacing) ** 2


def _checked(values: ArrayLike, name: str) -> Array:
    """A number, or one per component; traced values can't be looked at and pass."""
    given = jnp.asarray(values)
    given = given if jnp.issubdtype(given.dtype, jnp.floating) else given.astype(jnp.result_type(float))
    if given.ndim > 1:
        raise ValueError(f"got a {name} of shape {given.shape}; expected a number or one per component; do: use Diffusion for a field")
    if not isinstance(given, Tracer) and not (np.isfinite(given).all() and (np.asarray(given) >= 0).all()):
        raise ValueError(f"got a {name} of {given}; expected finite values that are not negative; do: check it")
    return given
