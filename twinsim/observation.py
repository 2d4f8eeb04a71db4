"""What was measured, with which operator and which noise."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Int
from scipy import ndimage

from solvers import Diffusion, VoxelGrid
from solvers.shapes import Cells, Scalar
from twinsim.prior import Values

DENSITY_FLOOR = 1e-6
OUTLINE_SD_MM = 0.7  # of a rater
FLAT = 0.01  # slope of the log odds, 1/mm, that is taken for no less


class Observation(eqx.Module):
    r"""Voxels of one scan: a prediction $\eta$ per voxel, and a likelihood that sees the model only through $\eta$.

    Attributes:
        scan: Which saved state it looks at.
        cells: Flat indices of the voxels used.
        data: The measurement per voxel.
        weight: How many independent voxels one voxel counts for. Neighbouring errors are alike, so it is far below one; it is
            estimated from the residuals (:func:`twinsim.dispersion.independent_fraction`).
    """

    scan: eqx.AbstractVar[int]
    cells: eqx.AbstractVar[Int[Array, " voxels"]]
    data: eqx.AbstractVar[Float[Array, " voxels"]]
    weight: eqx.AbstractVar[Scalar]

    @abstractmethod
    def predict(self, state: Cells, values: Values) -> Float[Array, " voxels"]:
        r"""$\eta$ from the state at the scan."""

    @abstractmethod
    def loss(self, prediction: Float[Array, " voxels"]) -> Float[Array, " voxels"]:
        """Negative log-likelihood per voxel, up to a constant."""

    @abstractmethod
    def slope(self, prediction: Float[Array, " voxels"]) -> Float[Array, " voxels"]:
        r"""Derivative of the loss with respect to $\eta$."""

    @abstractmethod
    def curvature(self, prediction: Float[Array, " voxels"]) -> Float[Array, " voxels"]:
        r"""Expected second derivative of the loss with respect to $\eta$ (Fisher information), not negative."""


class CellularityMap(Observation):
    r"""Cell density per voxel with normal noise, reported between 0 and 1: $y_i = \min(1, \max(0, (Pu)_i + \sigma\epsilon_i))$.

    $P$ is the partial-volume average over a voxel, $Pu = u + \tfrac{1}{24}\sum_a \delta_a^2 u$, exact to fourth order for a smooth density.
    A value at either end says only that the truth with its noise lies beyond it (Tobit likelihood); taken at face value, the
    saturated middle of a tumour would pull every estimate.
    """

    scan: int = eqx.field(static=True)
    cells: Int[Array, " voxels"]
    data: Float[Array, " voxels"]
    weight: Scalar
    noise: Scalar
    voxel_average: Diffusion

    def predict(self, state: Cells, values: Values) -> Float[Array, " voxels"]:
        """See :class:`Observation`."""
        del values
        return (state + self.voxel_average.apply(state))[self.cells]

    def loss(self, prediction: Float[Array, " voxels"]) -> Float[Array, " voxels"]:
        """See :class:`Observation`."""
        side, excess = self._censored(prediction)
        return jnp.where(side == 0, 0.5 * ((prediction - self.data) / self.noise) ** 2, -norm.logcdf(excess))

    def slope(self, prediction: Float[Array, " voxels"]) -> Float[Array, " voxels"]:
        """See :class:`Observation`."""
        side, excess = self._censored(prediction)
        mills = jnp.exp(norm.logpdf(excess) - norm.logcdf(excess))
        return jnp.where(side == 0, (prediction - self.data) / self.noise**2, -side * mills / self.noise)

    def curvature(self, prediction: Float[Array, " voxels"]) -> Float[Array, " voxels"]:
        """See :class:`Observation`; of a censored voxel the observed one, between 0 and that of a measured voxel."""
        side, excess = self._censored(prediction)
        mills = jnp.exp(norm.logpdf(excess) - norm.logcdf(excess))
        return jnp.where(side == 0, 1.0, mills * (mills + excess)) / self.noise**2

    def _censored(self, prediction: Float[Array, " voxels"]) -> tuple[Array, Array]:
        """Which end the data stopped at (+1, -1 or 0), and by how many noise units the prediction lies beyond it."""
        side = jnp.where(self.data >= 1, 1.0, jnp.where(self.data <= 0, -1.0, 0.0)).astype(prediction.dtype)
        return side, jnp.where(side == 0, 0.0, side * (prediction - self.data) / self.noise)


class IsoContour(Observation):
    r"""A segmentation as a soft iso-contour: voxel $i$ is inside with probability $\sigma(\eta_i)$.

    $\eta_i = \dfrac{\operatorname{logit} u_i - \operatorname{logit}\tau}{w\,|\nabla\operatorname{logit} u|_i}$ is the distance to the
    contour in units of the rater's uncertainty $w$ (mm). Without the division by the slope a likelihood of hard masks prefers steep
    fronts, whatever their place, and biases the diffusivity low by a fifth (measured). The threshold $\tau$ is a parameter with a prior.
    """

    scan: int = eqx.field(static=True)
    cells: Int[Array, " voxels"]
    data: Float[Array, " voxels"]
    weight: Scalar
    grid: VoxelGrid
    threshold: str = eqx.field(static=True)
    softness_mm: float = eqx.field(static=True, default=OUTLINE_SD_MM)

    def predict(self, state: Cells, values: Values) -> Float[Array, " voxels"]:
        """See :class:`Observation`."""
        odds = logit(state)
        return ((odds - logit(values[self.threshold])) / (self.softness_mm * steepness(self.grid, odds)))[self.cells]

    def loss(self, prediction: Float[Array, " voxels"]) -> Float[Array, " voxels"]:
        """See :class:`Observation`."""
        return jax.nn.softplus(prediction) - self.data * prediction

    def slope(self, prediction: Float[Array, " voxels"]) -> Float[Array, " voxels"]:
        """See :class:`Observation`."""
        return jax.nn.sigmoid(prediction) - self.data

    def curvature(self, prediction: Float[Array, " voxels"]) -> Float[Array, " voxels"]:
        """See :class:`Observation`."""
        inside = jax.nn.sigmoid(prediction)
        return inside * (1 - inside)


def logit(density: Array) -> Array:
    """Log odds of a density, with the density kept a millionth away from 0 and 1."""
    kept = jnp.clip(density, DENSITY_FLOOR, 1 - DENSITY_FLOOR)
    return jnp.log(kept) - jnp.log1p(-kept)


def visible_volume(grid: VoxelGrid, state: Cells, threshold: Scalar) -> Scalar:
    """Volume where the density is above a threshold; mm³.

    A voxel that the contour crosses counts with the part of it that a plane cuts off which has the voxel's density in its middle and the
    slope of the log odds there. On a field without slope it is the count of voxels: a fixed softness there counted tissue just below the
    threshold, eight times the lesion of a real patient whose fit was nearly flat.
    """
    odds = logit(state)
    width = steepness(grid, odds, FLAT) * grid.voxel_volume ** (1 / 3)
    part = jnp.clip(0.5 + (odds - logit(threshold)) / width, 0, 1)
    return jnp.sum(jnp.where(grid.mask.reshape(-1), part, 0)) * grid.voxel_volume


def steepness(grid: VoxelGrid, field: Cells, floor: float = 0.05) -> Cells:
    r"""$\sqrt{|\nabla f|^2 + \epsilon^2}$ per voxel from the mean square of the one-sided differences between active voxels, per mm."""
    total = jnp.full_like(field, floor**2)
    for axis, (stride, h) in enumerate(zip(grid.strides, grid.spacing, strict=True)):
        open_face = grid.interior_faces(axis).astype(field.dtype)
        ahead = open_face * ((jnp.roll(field, -stride) - field) / h) ** 2
        behind = jnp.roll(ahead, stride)
        count = open_face + jnp.roll(open_face, stride)
        total = total + (ahead + behind) / jnp.maximum(count, 1)
    return jnp.sqrt(total)


def near(region: np.ndarray, reach_voxels: int) -> np.ndarray:
    """The region and what is within so many voxels of it."""
    if reach_voxels < 1:  # SciPy takes zero iterations for "until nothing changes"
        return region
    return ndimage.binary_dilation(region, iterations=reach_voxels)
