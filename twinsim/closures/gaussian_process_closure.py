"""A Gaussian process in the slot of a closure: a mean, an honest deviation, and hyperparameters by the marginal likelihood."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from physics import Variable
from twinsim.closures.gaussian_process import KERNELS, GaussianProcess, Hyperparameters, Kernel, PredictiveRange, log_marginal_likelihood
from twinsim.closures.learned import LearnedClosure
from twinsim.closures.scaling import Standardisation
from twinsim.errors import InputError, near_misses

LENGTHS, AMPLITUDES, NOISES = (0.03, 100.0), (0.05, 50.0), (1e-6, 2.0)  # in standard deviations of inputs and outputs
STARTS = ((1.0, 0.1), (3.0, 0.01), (0.3, 0.3))  # lengths and noise from which the likelihood is climbed


class GaussianProcessClosure(LearnedClosure):
    r"""$y=s_yf((x-m_x)/s_x)+m_y$ with an independent :class:`GaussianProcess` $f$ per output.

    For laws of a few variables from some ten to a thousand dear samples: it says how far it can be trusted at every place, and needs no
    training but for its hyperparameters. Outside of the samples the mean goes to $m_y$ within a length, and :meth:`examine` says
    ``Status.EXTRAPOLATED`` where the deviation is above ``margin`` times that of a sample's place without the sample.

    Good values: ``squared_exponential`` for smooth laws, ``matern_5_2`` where there may be bends. Fails: jumps, more than about two
    thousand samples, more than some ten inputs, errors that are not alike everywhere. Source: Rasmussen and Williams (2006).

    Attributes:
        process: The posterior in scaled units.
        input_scale: m_x and s_x.
        output_scale: m_y and s_y.
        inputs: What goes in.
        outputs: What comes out.
    """

    process: GaussianProcess
    input_scale: Standardisation
    output_scale: Standardisation
    inputs: tuple[Variable, ...] = eqx.field(static=True)
    outputs: tuple[Variable, ...] = eqx.field(static=True)
    kind: ClassVar[str] = "gaussian_process"

    @classmethod
    def of(
        cls,
        inputs: tuple[Variable, ...],
        outputs: tuple[Variable, ...],
        samples: tuple[Float[Array, "inputs samples"], Float[Array, "outputs samples"]],
        *,
        kernel: str = "squared_exponential",
        hyper: Hyperparameters | None = None,
    ) -> "GaussianProcessClosure":
        """The posterior of samples.

        Args:
            inputs: What goes in.
            outputs: What comes out.
            samples: Inputs and outputs, at least two.
            kernel: Of all outputs: ``squared_exponential``, ``matern_5_2`` or ``matern_3_2``.
            hyper: Given in standard deviations of the samples, outputs along the first axis; the most likely ones where left out.

        Raises:
            InputError: An unknown kernel, samples that do not fit the variables or are not finite, or a likelihood that cannot be climbed.
        """
        given, wanted = samples
        if kernel not in KERNELS:
            raise InputError(f"kernel {kernel!r}", "one that is known", near_misses(kernel, KERNELS))
        if given.shape[0] != len(inputs) or wanted.shape[0] != len(outputs) or not inputs or not outputs or given.shape[1] < 2:
            got = f"samples {given.shape} and {wanted.shape} for {len(inputs)} inputs and {len(outputs)} outputs"
            raise InputError(got, "two samples or more, a row per variable", "give arrays of variables by samples")
        if not (np.isfinite(given).all() and np.isfinite(wanted).all()):
            raise InputError("samples that are not finite", "numbers", "leave those samples out")
        input_scale, output_scale = Standardisation.of(given), Standardisation.of(wanted)
        x, y = input_scale.apply(given).T, output_scale.apply(wanted).T
        chosen: Hyperparameters = (
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *(most_likely(kernel, x, column).hyper for column in y.T))
            if hyper is None
            else hyper
        )
        return cls(
            process=GaussianProcess.of(kernel, chosen, x, y),
            input_scale=input_scale,
            output_scale=output_scale,
            inputs=inputs,
            outputs=outputs,
        )

    def seen_inputs(self) -> PredictiveRange:
        """The posterior's deviation says where it may be trusted."""
        return PredictiveRange(self.process, self.input_scale)

    def _flat(self, values: Float[Array, "inputs *places"]) -> Float[Array, "places inputs"]:
        return self.input_scale.apply(values).reshape(values.shape[0], -1).T

    def __call__(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        mean = self.process.mean(self._flat(values))
        return self.output_scale.undo(mean.reshape(len(self.outputs), *values.shape[1:]))

    def deviation(self, values: Float[Array, "inputs *places"]) -> Float[Array, "outputs *places"]:
        """Standard deviation of the function, in the units of the outputs; the errors of samples are not in it."""
        places = values.shape[1:]
        deviation = jnp.sqrt(self.process.variance(self._flat(values))).reshape(len(self.outputs), *places)
        return deviation * self.output_scale.scale.reshape(-1, *[1] * len(places)).astype(deviation.dtype)

    def architecture(self) -> dict[str, Any]:
        """See :class:`LearnedClosure`."""
        return {"kernel": self.process.kernel, "samples": self.process.given.shape[0], "dtype": str(self.process.given.dtype)}

    @classmethod
    def skeleton(
        cls, architecture: dict[str, Any], inputs: tuple[Variable, ...], outputs: tuple[Variable, ...]
    ) -> "GaussianProcessClosure":
        """A closure of the same structure with arrays that are to be replaced."""
        n, dtype = architecture["samples"], architecture["dtype"]
        d, m = len(inputs), len(outputs)
        hyper = Hyperparameters(jnp.zeros((m, d), dtype), jnp.zeros(m, dtype), jnp.zeros(m, dtype))
        given, weights, factor, limit = (jnp.zeros(shape, dtype) for shape in ((n, d), (m, n), (m, n, n), (m,)))
        input_scale, output_scale = (Standardisation(jnp.zeros(k, dtype), jnp.ones(k, dtype)) for k in (d, m))
        return cls(
            process=GaussianProcess(hyper, given, weights, factor, limit, architecture["kernel"]),
            input_scale=input_scale,
            output_scale=output_scale,
            inputs=inputs,
            outputs=outputs,
        )


class Likeliest(NamedTuple):
    """Where the marginal likelihood is largest.

    Attributes:
        hyper: The hyperparameters.
        log_likelihood: The logarithm of the marginal likelihood there.
    """

    hyper: Hyperparameters
    log_likelihood: float


def most_likely(kernel: Kernel, given: Float[Array, "samples inputs"], wanted: Float[Array, " samples"]) -> Likeliest:
    """Hyperparameters of one output in scaled units, by L-BFGS-B with exact gradients from three starts, within bounds.

    Raises:
        InputError: The likelihood is not a number at any start.
    """
    from scipy.optimize import minimize

    count = given.shape[1]
    origin, restore = ravel_pytree(Hyperparameters(jnp.zeros(count, given.dtype), *jnp.zeros((2, 1), given.dtype)[:, 0]))
    slope = jax.jit(jax.value_and_grad(lambda vector: -log_marginal_likelihood(kernel, restore(vector), given, wanted)))

    def evaluate(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = slope(jnp.asarray(vector, origin.dtype))
        # A line search that meets a matrix without a factor turns back.
        return (float(value), np.asarray(gradient, float)) if np.isfinite(value) else (1e25, np.zeros(vector.size))

    bounds = np.log([LENGTHS] * count + [AMPLITUDES, NOISES])
    starts = (np.log([length] * count + [1.0, noise]) for length, noise in STARTS)
    tried = [minimize(evaluate, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}) for start in starts]
    best = min(tried, key=lambda one: one.fun)
    if best.fun >= 1e25:
        raise InputError(
            "a marginal likelihood that is not a number", "one", "give samples in float64, and no input twice with other outputs"
        )
    return Likeliest(restore(jnp.asarray(best.x, origin.dtype)), -float(best.fun))
