"""From the units of an equation to numbers of order one, and where a closure has been."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from solvers import Status


class Standardisation(eqx.Module):
    """z = (x - mean) / scale for each component along the first axis.

    Attributes:
        mean: Per component.
        scale: Per component; positive.
    """

    mean: Float[Array, "components"]
    scale: Float[Array, "components"]

    @classmethod
    def of(cls, samples: Float[Array, "components samples"]) -> "Standardisation":
        """Mean and standard deviation of the samples; a component that never changes keeps the scale one."""
        spread = jnp.std(samples, axis=1)
        return cls(jnp.mean(samples, axis=1), jnp.where(spread > 0, spread, 1.0))

    @classmethod
    def none(cls, components: int) -> "Standardisation":
        """That changes nothing."""
        return cls(jnp.zeros(components), jnp.ones(components))

    def apply(self, values: Float[Array, "components *places"]) -> Float[Array, "components *places"]:
        """To numbers of order one."""
        return (values - _column(self.mean, values)) / _column(self.scale, values)

    def undo(self, values: Float[Array, "components *places"]) -> Float[Array, "components *places"]:
        """Back to the units."""
        return values * _column(self.scale, values) + _column(self.mean, values)


class SeenInputs(eqx.Module):
    """What a closure knows of the inputs that it was made from."""

    @abstractmethod
    def distance(self, values: Float[Array, "components *places"]) -> Float[Array, "*places"]:
        """One at the edge of what was seen, above one outside."""

    def examine(self, values: Float[Array, "components *places"], margin: float = 1.1) -> Int[Array, "*places"]:
        """``Status.EXTRAPOLATED`` where the distance is above ``margin`` or not a number, else ``Status.SUCCESS``."""
        return jnp.where(self.distance(values) <= margin, int(Status.SUCCESS), int(Status.EXTRAPOLATED))


class TrainingRange(SeenInputs):
    """The inputs that a closure was trained on, as the smallest box and a multiple of their ellipsoid.

    The distance of x is the larger of max_i |x_i - c_i| / h_i, with centre c and half widths h of the box, and |L^-1 (x - m)| / R, with
    mean m, covariance L L^T and R the largest such length among the samples. Samples have distances up to one. The box alone would accept
    a corner that correlated inputs never visit; the ellipsoid alone would accept what lies far outside along one axis.

    Attributes:
        centre: Of the box, per component.
        half_width: Of the box.
        mean: Of the samples.
        whitening: L^-1 / R.
    """

    centre: Float[Array, "components"]
    half_width: Float[Array, "components"]
    mean: Float[Array, "components"]
    whitening: Float[Array, "components components"]

    @classmethod
    def of(cls, samples: Float[Array, "components samples"]) -> "TrainingRange":
        """Box and ellipsoid of the samples (at least two); a component that never changes may not change later either."""
        low, high = jnp.min(samples, axis=1), jnp.max(samples, axis=1)
        tiny = jnp.finfo(samples.dtype).eps ** 0.5
        floor = tiny * jnp.maximum(jnp.abs(low + high) / 2, tiny)
        half_width = jnp.maximum((high - low) / 2, floor)
        mean = jnp.mean(samples, axis=1)
        # In units of the half widths the covariance is of order one, so that one small number keeps it invertible.
        scaled = (samples - mean[:, None]) / half_width[:, None]
        covariance = scaled @ scaled.T / samples.shape[1] + tiny * jnp.eye(len(mean), dtype=samples.dtype)
        inverse = jnp.linalg.inv(jnp.linalg.cholesky(covariance))
        radius = jnp.max(jnp.linalg.norm(inverse @ scaled, axis=0))
        return cls((low + high) / 2, half_width, mean, inverse / half_width[None, :] / jnp.where(radius > 0, radius, 1.0))

    def distance(self, values: Float[Array, "components *places"]) -> Float[Array, "*places"]:
        """One at the edge of what was seen, above one outside."""
        box = jnp.max(jnp.abs(values - _column(self.centre, values)) / _column(self.half_width, values), axis=0)
        length = jnp.linalg.norm(jnp.tensordot(self.whitening.astype(values.dtype), values - _column(self.mean, values), axes=1), axis=0)
        return jnp.maximum(box, length)


def scales(
    inputs: int, outputs: int, samples: tuple[Float[Array, "inputs given"], Float[Array, "outputs wanted"]] | None
) -> tuple[Standardisation, Standardisation, TrainingRange | None]:
    """Scales of inputs and of outputs, and the range of inputs; without samples, scales that change nothing and no range."""
    if samples is None:
        return Standardisation.none(inputs), Standardisation.none(outputs), None
    given, wanted = samples
    return Standardisation.of(given), Standardisation.of(wanted), TrainingRange.of(given)


def _column(numbers: Float[Array, "components"], values: Float[Array, "components *places"]) -> Float[Array, "components *ones"]:
    return numbers.astype(values.dtype).reshape((-1,) + (1,) * (values.ndim - 1))
