"""How a measurement scatters about the prediction of a model."""

from abc import abstractmethod
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy import stats
from jax.scipy.special import betainc, gammaln, xlogy
from jaxtyping import Array, Float

from twinsim.errors import InputError, near_misses
from twinsim.prior import Values

if TYPE_CHECKING:  # a checker that does not know abstract class variables takes them for fields
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar

Data = Float[Array, "*shape"]
Terms = Float[Array, "*terms"]

SMALLEST = 1e-12  # predictions of positive quantities are kept above it
LOG_SHIFT = 50.0  # keeps 2 log(scale) + shift positive for every scale above exp(-25)


def _scale(value: "float | str | Array") -> "Array | str":
    """A scale as an array, so that patients with different ones can be stacked; a name stays one. Refuses what is not above zero."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Tracer) and not (np.isfinite(value) & (np.asarray(value) > 0)).all():
        raise InputError(f"a noise scale of {np.min(value):g}", "a finite number above 0", "give the standard deviation of the noise")
    return jnp.asarray(value, dtype=float)


def _part(value: "float | str | Array") -> "Array | str":
    """The same for a part of a scale, which may be zero."""
    concrete = not isinstance(value, str | Tracer)
    return jnp.asarray(value, dtype=float) if concrete and not np.any(np.asarray(value)) else _scale(value)


def resolve(scale: "Array | str", values: Values | None) -> Array:
    """A scale that is a number, or the value of the parameter that it names."""
    if not isinstance(scale, str):
        return scale
    if values is None or scale not in values:
        known = near_misses(scale, values or {})
        raise InputError(got=f"noise scale {scale!r}", expected="the name of a parameter with a prior", do=f"add the prior; {known}")
    return values[scale]


class Likelihood(eqx.Module):
    """Density of data given a prediction. A value that is not finite is missing: it counts nothing and has no derivative.

    Scales are numbers, or names of parameters that are looked up in `values`.
    """

    support: AbstractClassVar[str]
    """Which data are possible: ``real``, ``positive`` or ``count``."""

    @abstractmethod
    def density(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """Log density per observation, all of which are there."""

    @abstractmethod
    def sample(self, key: Array, prediction: Data, values: Values | None = None) -> Data:
        """Data as they could be measured."""

    @abstractmethod
    def least_squares(self, data: Data, prediction: Data, values: Values | None) -> "tuple[Data, ...] | None":
        r"""Residuals whose half squares add up to the negative log density, up to a constant; None where there are none."""

    def log_density(self, data: Data, prediction: Data, values: Values | None = None) -> Data:
        """Log density per observation; zero where the value is missing."""
        seen = jnp.isfinite(data)
        terms = self.density(jnp.where(seen, data, 1.0), jnp.where(seen, prediction, 1.0), values)
        return jnp.where(seen, terms, 0.0)

    def residual(self, data: Data, prediction: Data, values: Values | None = None) -> "Terms | None":
        r"""Whitened residuals, flat: $\tfrac12 r\cdot r = -\log p$ up to a constant; zero where missing; None where there are none."""
        seen = jnp.isfinite(data)
        parts = self.least_squares(jnp.where(seen, data, 1.0), jnp.where(seen, prediction, 1.0), values)
        return None if parts is None else jnp.concatenate([jnp.where(seen, part, 0.0).ravel() for part in parts])


class Continuous(Likelihood):
    """A likelihood with a cumulative distribution, so that it can be censored."""

    @abstractmethod
    def log_cumulative(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """Logarithm of the probability of a value below `data`."""


class Normal(Continuous):
    r"""$y = f + \sigma\epsilon$."""

    scale: Array | str = eqx.field(converter=_scale)
    support = "real"

    def density(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Likelihood`."""
        return stats.norm.logpdf(data, prediction, resolve(self.scale, values))

    def sample(self, key: Array, prediction: Data, values: Values | None = None) -> Data:
        """See :class:`Likelihood`."""
        return prediction + resolve(self.scale, values) * jax.random.normal(key, prediction.shape, prediction.dtype)

    def least_squares(self, data: Data, prediction: Data, values: Values | None) -> "tuple[Data, ...] | None":
        """See :class:`Likelihood`; a scale that is a parameter adds its normaliser as a residual of its own."""
        return _gaussian_parts(data, prediction, resolve(self.scale, values), constant=not isinstance(self.scale, str))

    def log_cumulative(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Continuous`."""
        return stats.norm.logcdf(data, prediction, resolve(self.scale, values))


class LogNormal(Continuous):
    r"""$\log y = \log f + \sigma\epsilon$; the prediction is the median."""

    scale: Array | str = eqx.field(converter=_scale)
    support = "positive"

    def density(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Likelihood`."""
        return stats.norm.logpdf(jnp.log(data), _log(prediction), resolve(self.scale, values)) - jnp.log(data)

    def sample(self, key: Array, prediction: Data, values: Values | None = None) -> Data:
        """See :class:`Likelihood`."""
        noise = jax.random.normal(key, prediction.shape, prediction.dtype)
        return jnp.exp(_log(prediction) + resolve(self.scale, values) * noise)

    def least_squares(self, data: Data, prediction: Data, values: Values | None) -> "tuple[Data, ...] | None":
        """See :class:`Likelihood`."""
        scale = resolve(self.scale, values)
        return _gaussian_parts(jnp.log(data), _log(prediction), scale, constant=not isinstance(self.scale, str))

    def log_cumulative(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Continuous`."""
        return stats.norm.logcdf(_log(data), _log(prediction), resolve(self.scale, values))


class ProportionalAdditive(Continuous):
    r"""$y = f + \sqrt{a^2 + (bf)^2}\,\epsilon$, the combined error of assays: $a$ in the unit of the data, $b$ a fraction."""

    additive: Array | str = eqx.field(converter=_part)
    proportional: Array | str = eqx.field(converter=_part)
    support = "real"

    def density(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Likelihood`."""
        return stats.norm.logpdf(data, prediction, self._deviation(prediction, values))

    def sample(self, key: Array, prediction: Data, values: Values | None = None) -> Data:
        """See :class:`Likelihood`."""
        return prediction + self._deviation(prediction, values) * jax.random.normal(key, prediction.shape, prediction.dtype)

    def least_squares(self, data: Data, prediction: Data, values: Values | None) -> "tuple[Data, ...] | None":
        """See :class:`Likelihood`; the deviation moves with the prediction, so its logarithm is a residual too."""
        return _gaussian_parts(data, prediction, self._deviation(prediction, values), constant=False)

    def log_cumulative(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Continuous`."""
        return stats.norm.logcdf(data, prediction, self._deviation(prediction, values))

    def _deviation(self, prediction: Data, values: Values | None) -> Data:
        additive, proportional = resolve(self.additive, values), resolve(self.proportional, values)
        return jnp.sqrt(additive**2 + (proportional * prediction) ** 2 + SMALLEST**2)


class StudentT(Continuous):
    r"""$y = f + \sigma t_\nu$: normal with heavier tails, for outliers; $\nu = 4$ is a usual choice."""

    scale: Array | str = eqx.field(converter=_scale)
    degrees: Array | str = eqx.field(converter=_scale, default=4.0)
    support = "real"

    def density(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Likelihood`."""
        return stats.t.logpdf(data, resolve(self.degrees, values), prediction, resolve(self.scale, values))

    def sample(self, key: Array, prediction: Data, values: Values | None = None) -> Data:
        """See :class:`Likelihood`."""
        noise = jax.random.t(key, resolve(self.degrees, values), prediction.shape, prediction.dtype)
        return prediction + resolve(self.scale, values) * noise

    def least_squares(self, data: Data, prediction: Data, values: Values | None) -> "tuple[Data, ...] | None":
        """None: the negative log density is not a sum of squares."""
        del data, prediction, values

    def log_cumulative(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Continuous`."""
        degrees = resolve(self.degrees, values)
        t = (data - prediction) / resolve(self.scale, values)
        tail = 0.5 * betainc(degrees / 2, 0.5, degrees / (degrees + t**2))
        return jnp.log(jnp.where(t < 0, tail, 1 - tail))


class CensoredBelow(Likelihood):
    """Another likelihood whose data stop at a detection limit: at or below it only "below" is known (Tobit; M3 of pharmacometrics).

    Source: Beal (2001), *J Pharmacokinet Pharmacodyn* 28, 481, method M3.
    """

    of: Continuous
    limit: Array = eqx.field(converter=jnp.asarray)
    support = "real"

    def density(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Likelihood`."""
        below = data <= self.limit
        limit = jnp.broadcast_to(self.limit, data.shape)
        return jnp.where(
            below, self.of.log_cumulative(limit, prediction, values), self.of.density(jnp.where(below, 1.0, data), prediction, values)
        )

    def sample(self, key: Array, prediction: Data, values: Values | None = None) -> Data:
        """See :class:`Likelihood`; what falls below the limit is reported as the limit."""
        return jnp.maximum(self.of.sample(key, prediction, values), self.limit)

    def least_squares(self, data: Data, prediction: Data, values: Values | None) -> "tuple[Data, ...] | None":
        r"""See :class:`Likelihood`; a censored value has the residual $\sqrt{-2\log P(y\le\text{limit})}$."""
        below = data <= self.limit
        parts = self.of.least_squares(jnp.where(below, 1.0, data), prediction, values)
        if parts is None:
            return None
        tail = -2 * self.of.log_cumulative(jnp.broadcast_to(self.limit, data.shape), prediction, values)
        first = jnp.where(below, jnp.sqrt(jnp.where(below, tail, 1.0) + SMALLEST), parts[0])
        return (first, *(jnp.where(below, 0.0, part) for part in parts[1:]))


class Poisson(Likelihood):
    """Counts with the prediction as their mean."""

    support = "count"

    def density(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Likelihood`."""
        del values
        rate = jnp.maximum(prediction, SMALLEST)
        return xlogy(data, rate) - rate - gammaln(data + 1)

    def sample(self, key: Array, prediction: Data, values: Values | None = None) -> Data:
        """See :class:`Likelihood`."""
        del values
        return jax.random.poisson(key, jnp.maximum(prediction, SMALLEST)).astype(prediction.dtype)

    def least_squares(self, data: Data, prediction: Data, values: Values | None) -> "tuple[Data, ...] | None":
        """None: the negative log density is not a sum of squares."""
        del data, prediction, values


class NegativeBinomial(Likelihood):
    r"""Counts with mean $\mu$ (the prediction) and variance $\mu + \mu^2/\phi$; a small $\phi$ scatters more than Poisson."""

    dispersion: Array | str = eqx.field(converter=_scale)
    support = "count"

    def density(self, data: Data, prediction: Data, values: Values | None) -> Data:
        """See :class:`Likelihood`."""
        phi, mean = resolve(self.dispersion, values), jnp.maximum(prediction, SMALLEST)
        ways = gammaln(data + phi) - gammaln(phi) - gammaln(data + 1)
        return ways + phi * (jnp.log(phi) - jnp.log(phi + mean)) + xlogy(data, mean) - data * jnp.log(phi + mean)

    def sample(self, key: Array, prediction: Data, values: Values | None = None) -> Data:
        """See :class:`Likelihood`: a Poisson whose rate is gamma distributed."""
        first, second = jax.random.split(key)
        phi = resolve(self.dispersion, values)
        rate = jax.random.gamma(first, phi, prediction.shape, prediction.dtype) / phi * jnp.maximum(prediction, SMALLEST)
        return jax.random.poisson(second, rate).astype(prediction.dtype)

    def least_squares(self, data: Data, prediction: Data, values: Values | None) -> "tuple[Data, ...] | None":
        """None: the negative log density is not a sum of squares."""
        del data, prediction, values


def _log(value: Data) -> Data:
    return jnp.log(jnp.maximum(value, SMALLEST))


def _gaussian_parts(data: Data, prediction: Data, deviation: Array, constant: bool) -> tuple[Data, ...]:
    r"""$(y-f)/\sigma$, and $\sqrt{2\log\sigma + c}$ where $\sigma$ is estimated too: the sum of half squares stays the exact objective."""
    whitened = (data - prediction) / deviation
    if constant:
        return (whitened,)
    return whitened, jnp.broadcast_to(jnp.sqrt(jnp.maximum(2 * jnp.log(deviation) + LOG_SHIFT, SMALLEST)), data.shape)
