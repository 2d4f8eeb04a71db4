"""The fixed-lag ensemble Kalman smoother."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar
from twinsim.assimilation.analysis import Analysis, recombined
from twinsim.assimilation.assimilator import Assimilator
from twinsim.assimilation.ensemble_kalman import inflated, judged, relaxed
from twinsim.assimilation.gate import Gate
from twinsim.assimilation.square_root import SquareRoot
from twinsim.assimilation.stream_model import Ensemble, Innovation, Present, StreamModel, Values, advanced, predictions


class Trajectories(eqx.Module):
    """An ensemble and where its members have been.

    Attributes:
        now: The ensemble at the last reading.
        past: States of the members at the last readings, oldest first, the last reading included; ``(lag, members, n)``.
        times: Of these; NaN where there has been no reading yet.
    """

    now: Ensemble
    past: Float[Array, "lag k n"]
    times: Float[Array, " lag"]


class EnsembleKalmanSmoother(Assimilator):
    r"""The recombination of every reading is applied to the states at the last ``lag`` readings as well.

    At the last reading it is the ensemble Kalman filter itself; further back it is the posterior given all readings up to now. For a
    linear-normal problem it converges to the Rauch-Tung-Striebel smoother as the ensemble grows. With few members the recombination
    adds sampling noise to states far back: keep the lag near the memory of the system.

    Args:
        lag: Readings kept.
        analysis: As in :class:`EnsembleKalmanFilter`.
        inflation: The same; it widens the present only.
        relaxation: The same.
        gate: The same.

    Source: Evensen and van Leeuwen (2000), Mon. Weather Rev. 128:1852, section 3.
    """

    belief_kind: ClassVar[type] = Trajectories
    lag: int = eqx.field(static=True, default=12)
    analysis: Analysis = SquareRoot()
    inflation: float = eqx.field(static=True, default=1.0)
    relaxation: float = eqx.field(static=True, default=0.0)
    gate: Gate = Gate()

    def __check_init__(self) -> None:
        if self.lag < 1:
            raise ValueError(f"got lag {self.lag}; expected at least 1; do: keep the readings that later ones can correct")

    def begin(self, ensemble: Ensemble) -> Trajectories:
        """The belief before the first reading."""
        past = jnp.repeat(ensemble.members[None], self.lag, axis=0)
        return Trajectories(ensemble, past, jnp.full(self.lag, jnp.nan, ensemble.members.dtype))

    def update(
        self, model: StreamModel, belief: Trajectories, time: Scalar, values: Values, mask: Present, key: Array
    ) -> tuple[Trajectories, Innovation]:
        """See :class:`Assimilator`."""
        draw, analyse = jax.random.split(key)
        forecast = advanced(model, belief.now, time, draw)
        members = inflated(forecast.members, self.inflation, mask)
        matrix, innovation = judged(self.analysis, self.gate, model, predictions(model, members), values, mask, analyse)
        matrix = relaxed(matrix, self.relaxation)
        present = jax.vmap(model.admissible)(recombined(matrix, members))
        past = jax.vmap(recombined, in_axes=(None, 0))(matrix, belief.past[1:])
        past = jnp.concatenate([jax.vmap(jax.vmap(model.admissible))(past), present[None]])
        now = eqx.tree_at(lambda e: e.members, forecast, present)
        return Trajectories(now, past, jnp.append(belief.times[1:], time)), innovation

    def ensemble(self, belief: Trajectories, key: Array, count: int) -> Ensemble:
        """The members at the last reading."""
        del key, count
        return belief.now
