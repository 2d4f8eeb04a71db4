"""The three-population model of PSA under intermittent therapy as a twin that follows its patient, from a calibration on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers.shapes import Scalar
from twinsim.assimilation.reading import Channel
from twinsim.assimilation.stream_model import Ensemble, Noise, StateVector, StreamModel, Values, equal_ensemble
from twinsim.cohort import Noise as CohortNoise
from twinsim.cohort import PopulationNormal, draw_forecasts
from twinsim.errors import InputError
from twinsim.prior import values_of
from twinsim.psa_forecast import psa_cohort
from twinsim.psa_models import HIRATA_WASHOUT, hirata_tanaka
from twinsim.psa_record import PsaRecord

PSA_CHANNEL = Channel("psa", "ng/mL", low=0.0, high=1e5, logarithmic=True)
CELLS = 3


class PsaTwin(StreamModel):
    r""":class:`physics.HirataTanaka` with washout: logarithms of three kinds of cells, $b$, and the coordinates of the parameters.

    $\ln\text{PSA} = \ln(x_1+x_2+x_3) + b + \varepsilon$ with $\varepsilon\sim N(0, (1-a)\sigma^2)$ and $b$ what the model gets wrong for a
    while, $b' = e^{-h/\ell}b + \sigma\sqrt{a(1-e^{-2h/\ell})}\,w$: the noise of :class:`twinsim.cohort.Noise` as a state, so that a
    filter solves the problem of the calibration, one reading at a time. Between two readings the solution is exact. Days.

    Args:
        begin: First day of each course of therapy, in order.
        end: Its last day; infinity while it lasts. What is planned for the future belongs here too.
        scale: $\sigma$, of log PSA.
        share: $a$.
        days: $\ell$.

    The schedule is part of the model: a plan that changes makes a new twin, which starts from the last belief of the former. It fails
    where the equation does; parameters are constants, so that nothing but $b$ makes room for a change of the disease.
    """

    begin: Float[Array, " courses"]
    end: Float[Array, " courses"]
    scale: Scalar
    share: Scalar
    days: Scalar
    noise_size: int = eqx.field(static=True, default=1)

    def advance(self, state: StateVector, start: Scalar, length: Scalar, noise: Noise) -> StateVector:
        """See :class:`StreamModel`."""
        values = values_of(HIRATA_WASHOUT.priors, state[CELLS + 1 :])
        equation = hirata_tanaka(values)
        never = jnp.full(1, jnp.inf, self.begin.dtype)
        acts_until = jnp.minimum(self.end + values["washout"][None], jnp.append(self.begin[1:], never))
        # Before each course the days off, then the days on it, both within the interval; after the last one days off again.
        off = _overlap(jnp.append(-never, acts_until), jnp.append(self.begin, never), start, length)
        on = jnp.append(_overlap(self.begin, acts_until, start, length), jnp.zeros(1, self.begin.dtype))

        def phase(cells: Array, matrices: tuple[Array, Array]) -> tuple[Array, None]:
            return matrices[1] @ (matrices[0] @ cells), None

        largest = jnp.max(state[:CELLS])
        cells, _ = jax.lax.scan(phase, jnp.exp(state[:CELLS] - largest), (equation.off(off), equation.on(on)))
        kept = jnp.exp(-length / self.days)
        passed = jnp.where(length > 0, 1 - kept**2, 1.0)  # no infinite slope of the root at zero
        kick = jnp.where(length > 0, self.scale * jnp.sqrt(self.share * passed) * noise[0], 0.0)
        moved = jnp.append(largest + jnp.log(cells), kept * state[CELLS] + kick)
        return jnp.concatenate([jnp.where(length > 0, moved, state[: CELLS + 1]), state[CELLS + 1 :]])

    def predict(self, state: StateVector) -> Values:
        """Logarithm of PSA in ng/mL."""
        return (jax.nn.logsumexp(state[:CELLS]) + state[CELLS])[None]

    def error(self, predicted: Values) -> Values:
        """That of single readings."""
        return jnp.broadcast_to(self.scale * jnp.sqrt(1 - self.share), predicted.shape)

    def admissible(self, state: StateVector) -> StateVector:
        """Unchanged: logarithms and normal coordinates have no bounds."""
        return state


def psa_twin(record: PsaRecord, noise: CohortNoise) -> PsaTwin:
    """The twin of one patient with all courses of his record, those still planned included, and the noise of a calibration."""
    days, on = record.days, record.on
    starts = np.flatnonzero(on & np.concatenate([[True], ~on[:-1]]))
    ends = np.flatnonzero(~on & np.concatenate([[True], on[:-1]]))
    begin, end = days[starts], days[ends]
    if not on[0]:  # as in `PsaRecord.since_stop`, therapy has ended on the first day
        begin = np.append(days[0], begin)
    if on[-1]:
        end = np.append(end, np.inf)
    begin, end, scale, share, lasting = (jnp.asarray(part, dtype=float) for part in (begin, end, noise.scale, noise.share, noise.days))
    return PsaTwin(begin=begin, end=end, scale=scale, share=share, days=lasting)


def calibrated_psa_twin(record: PsaRecord, prior: PopulationNormal, origin: float, members: int, seed: int = 0) -> tuple[PsaTwin, Ensemble]:
    """A twin and its ensemble on the day `origin`, calibrated on what was measured up to it.

    Members are draws of the posterior by randomised maximum likelihood (:func:`twinsim.cohort.draw_forecasts`), each with a draw of what
    the model gets wrong for a while, given its residuals.

    Args:
        record: The patient; courses after the origin count as planned.
        prior: That of the population without him.
        origin: Day of the last PSA that the calibration sees, or a later one.
        members: How many.
        seed: Of the draws.

    Raises:
        InputError: No PSA up to the origin.
    """
    model, noise = psa_twin(record, prior.noise), prior.noise
    seen = np.isfinite(record.psa) & (record.days <= origin)
    if not seen.any():
        raise InputError(got=f"no PSA of patient {record.patient} up to day {origin:g}", expected="one at least", do="take a later origin")
    cohort = psa_cohort([record], HIRATA_WASHOUT).until(origin)
    draws = draw_forecasts(cohort, [prior], members, seed)
    days, logs = record.days[seen], np.log(record.psa[seen])
    lasting = noise.share * np.exp(-np.abs(days[:, None] - days[None]) / noise.days)
    to_origin = noise.share * np.exp(-np.abs(origin - days) / noise.days)
    gain = np.linalg.solve(lasting + (1 - noise.share) * np.eye(days.size), to_origin)
    width = noise.scale * np.sqrt(max(noise.share - float(gain @ to_origin), 0.0))
    fitted = np.stack([cohort.predictions(point) for point in draws.points])[:, 0, np.flatnonzero(seen)]
    error = (logs - fitted) @ gain + width * np.random.default_rng(seed).standard_normal(members)
    points = jnp.asarray(draws.points[:, 0])
    first_psa = jnp.asarray(record.psa[np.isfinite(record.psa)][0])

    @jax.jit
    def at_origin(model: PsaTwin, z: Array, error: Array) -> Array:
        values = values_of(HIRATA_WASHOUT.priors, z)
        initial = jnp.log(first_psa * jnp.stack([values["initial_1"], values["initial_2"], values["initial_3"]]))
        state = jnp.concatenate([initial, jnp.zeros(1, z.dtype), z])
        start = jnp.asarray(record.days[0], z.dtype)
        state = model.advance(state, start, jnp.asarray(origin, z.dtype) - start, jnp.zeros(1, z.dtype))
        return state.at[CELLS].set(error)

    states = jax.vmap(at_origin, (None, 0, 0))(model, points, jnp.asarray(error))
    return model, equal_ensemble(states, float(origin))


def _overlap(low: Array, high: Array, start: Scalar, length: Scalar) -> Array:
    """Length of what each span from `low` to `high` has in common with the interval."""
    return jnp.maximum(jnp.minimum(high, (start + length)[None]) - jnp.maximum(low, start[None]), 0.0)
