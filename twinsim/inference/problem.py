"""A calibration: parameters with priors, a model, and what was measured."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from twinsim.errors import InputError
from twinsim.inference.series import Series, stacked
from twinsim.prior import Prior, Values, values_of

type Predict = Callable[[Values, tuple[Array, ...], Any], tuple[Array, ...]]
Point = Float[Array, " parameters"]


class Problem(eqx.Module):
    r"""$\log p(z\mid y) = \log p(z) + \sum_k \sum_i \log p(y_{ki}\mid f_k(\theta(z), t_{ki}))$ in the priors' standard-normal coordinates.

    A pytree: problems of several patients with series padded to one length are stacked (:func:`problems`) and every estimator runs
    over them with ``eqx.filter_vmap``.

    Attributes:
        priors: One per coordinate; they are the map from $z$ to values.
        predict: ``predict(values, times, record)`` gives one prediction array per series, at the times of that series.
        series: The kinds of data that are fused; their likelihoods multiply.
        record: What else the model needs to know of this patient: doses, weights, treatment times. Any pytree.
        location: Prior mean of $z$; None is zero. A new patient's is that of the population.
        root: Lower Cholesky factor of the prior covariance of $z$; None is the identity.
        extra: Further log likelihood ``extra(values, record)``, for what is no series; None adds nothing.
    """

    priors: tuple[Prior, ...] = eqx.field(static=True)
    predict: Predict
    series: tuple[Series, ...] = ()
    record: Any = None
    location: Float[Array, "*batch parameters"] | None = None
    root: Float[Array, "*batch parameters parameters"] | None = None
    extra: Callable[[Values, Any], Array] | None = None

    def __check_init__(self) -> None:
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice or not self.priors:
            got = f"two priors of {twice[0]}" if twice else "no prior"
            raise InputError(got, "one prior per parameter, at least one", "rename or remove it" if twice else "give the unknowns priors")

    @property
    def size(self) -> int:
        """How many parameters."""
        return len(self.priors)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(prior.name for prior in self.priors)

    def values(self, z: Point) -> Values:
        """Parameter values by name."""
        return values_of(self.priors, z)

    def predictions(self, z: Point, times: tuple[Array, ...] | None = None) -> tuple[Array, ...]:
        """What the model says for each series, at its times or at others."""
        return self._predicted(self.values(z), tuple(one.times for one in self.series) if times is None else times)

    def _predicted(self, values: Values, times: tuple[Array, ...]) -> tuple[Array, ...]:
        """What `predict` returns, if it has the shape that was asked for.

        Raises:
            InputError: Not one array per series, or not one value per time.
        """
        found = self.predict(values, times, self.record)
        wanted = [jnp.shape(one) for one in times[: len(self.series)]]
        if not isinstance(found, tuple | list) or len(found) != len(wanted):
            got = f"a {type(found).__name__}" + (f" of {len(found)} predictions" if isinstance(found, tuple | list) else "")
            expected = f"a tuple of {len(wanted)} arrays, one per series"
            raise InputError(f"{got} from predict", expected, "return (prediction,) for a single series")
        for one, prediction, shape in zip(self.series, found, wanted, strict=True):
            if jnp.shape(prediction) != shape:
                raise InputError(
                    f"{one.name}: predictions of shape {jnp.shape(prediction)} from predict",
                    f"{shape}, one value per time",
                    "predict at the times given",
                )
        return tuple(found)

    def log_prior(self, z: Point) -> Array:
        """Log density of the prior in the coordinates, normalised."""
        white = self.whiten(z)
        scale = 0.0 if self.root is None else jnp.sum(jnp.log(jnp.abs(jnp.diagonal(self.root))))
        return -0.5 * jnp.sum(white**2) - 0.5 * self.size * float(np.log(2 * np.pi)) - scale

    def whiten(self, z: Point) -> Point:
        """Coordinates in which this prior is standard normal."""
        moved = z if self.location is None else z - self.location
        return moved if self.root is None else solve_triangular(self.root, moved, lower=True)

    def unwhiten(self, white: Point) -> Point:
        """The inverse of :meth:`whiten`."""
        z = white if self.root is None else self.root @ white
        return z if self.location is None else z + self.location

    def log_likelihood_terms(self, z: Point) -> Float[Array, " observations"]:
        """Log likelihood per observation over all series, flat; zero where missing."""
        values = self.values(z)
        predicted = self._predicted(values, tuple(one.times for one in self.series))
        terms = [s.likelihood.log_density(s.values, p, values) for s, p in zip(self.series, predicted, strict=True)]
        if self.extra is not None:
            terms.append(jnp.reshape(self.extra(values, self.record), (-1,)))
        return jnp.concatenate(terms) if terms else jnp.zeros(0)

    def log_likelihood(self, z: Point) -> Array:
        """Log likelihood of all data."""
        return jnp.sum(self.log_likelihood_terms(z))

    def log_posterior(self, z: Point) -> Array:
        """Unnormalised log posterior density of the coordinates."""
        return self.log_prior(z) + self.log_likelihood(z)

    @property
    def has_residuals(self) -> bool:
        """Whether the negative log posterior is a sum of squares."""
        if self.extra is not None or not self.series:
            return False
        probe = jnp.ones(1)
        values = {prior.name: jnp.asarray(prior.median, dtype=float) for prior in self.priors}
        return all(one.likelihood.least_squares(probe, probe, values) is not None for one in self.series)

    def residuals(self, z: Point) -> Float[Array, " residuals"]:
        """Whitened residuals of data and prior: half their squares add up to the negative log posterior, up to a constant.

        Raises:
            InputError: A likelihood is not a sum of squares.
        """
        values = self.values(z)
        predicted = self._predicted(values, tuple(one.times for one in self.series))
        parts = [self.whiten(z)]
        for one, prediction in zip(self.series, predicted, strict=True):
            part = one.likelihood.residual(one.values, prediction, values)
            if part is None or self.extra is not None:
                raise InputError(got=f"least squares for {one.name}", expected="normal errors of some kind", do="use L-BFGS")
            parts.append(part)
        return jnp.concatenate(parts)

    @property
    def observed(self) -> Bool[Array, " observations"]:
        """Which of the terms of the log likelihood are data, not gaps."""
        seen = [one.mask for one in self.series] + ([jnp.ones(1, dtype=bool)] if self.extra is not None else [])
        return jnp.concatenate(seen, axis=-1)

    def simulated(self, key: Array, z: Point) -> "Problem":
        """The same problem with data drawn from the model at `z`; gaps stay gaps."""
        values = self.values(z)
        keys = jax.random.split(key, max(len(self.series), 1))
        predicted = self._predicted(values, tuple(one.times for one in self.series))
        drawn = [
            jnp.where(one.mask, one.likelihood.sample(k, prediction, values), jnp.nan)
            for one, k, prediction in zip(self.series, keys, predicted, strict=True)
        ]
        return eqx.tree_at(lambda p: [one.values for one in p.series], self, drawn)

    def prior_draws(self, key: Array, count: int) -> Float[Array, "{count} parameters"]:
        """Coordinates drawn from the prior."""
        return jax.vmap(self.unwhiten)(jax.random.normal(key, (count, self.size)))

    def with_prior(self, location: Array, covariance: Array) -> "Problem":
        """The same problem with the normal prior of a population."""
        new = (jnp.asarray(location), jnp.linalg.cholesky(jnp.asarray(covariance)))
        return eqx.tree_at(lambda p: (p.location, p.root), self, new, is_leaf=lambda leaf: leaf is None)


def problems(patients: Sequence[Problem]) -> Problem:
    """Problems of several patients as one batch: every series padded to the longest of its kind, then stacked.

    Raises:
        InputError: None, or patients whose parameters or kinds of data differ.
    """
    kinds = [(p.priors, tuple((one.name, one.unit) for one in p.series)) for p in patients]
    if len(set(kinds)) != 1:
        got = f"{len(patients)} patients with {len(set(kinds))} sets of priors and series"
        raise InputError(
            got=got, expected="the same parameters, kinds of data and units for all, and at least one patient", do="build all alike"
        )
    lengths = [max(p.series[k].times.size for p in patients) for k in range(len(patients[0].series))]
    return stacked(
        [eqx.tree_at(lambda p: p.series, p, tuple(s.padded(n) for s, n in zip(p.series, lengths, strict=True))) for p in patients]
    )
