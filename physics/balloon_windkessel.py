"""What neural activity does to the blood of a region, and what functional MRI shows of it: the balloon and windkessel model."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.parameters import Parameter, ParameterSet, arrays_of

_FRISTON = "Friston, Harrison, Penny 2003, NeuroImage 19, 1273; value recalled, not read in print"
_STEPHAN = "Stephan et al. 2007, NeuroImage 38, 387; value second-hand, from public programs"

FRISTON_2003 = ParameterSet(
    "Friston2003",
    signal_decay=Parameter(0.65, "1/s", (0.2, 2.0), f"{_FRISTON}, kappa"),
    flow_feedback=Parameter(0.41, "1/s", (0.1, 1.0), f"{_FRISTON}, gamma"),
    transit_time=Parameter(0.98, "s", (0.3, 3.0), f"{_FRISTON}, tau"),
    stiffness=Parameter(0.32, "1", (0.1, 0.6), f"{_FRISTON}, alpha"),
    extraction=Parameter(0.34, "1", (0.1, 0.8), f"{_FRISTON}, rho"),
    volume=Parameter(0.02, "1", (0.005, 0.1), f"{_FRISTON}, V0"),
    outside=Parameter(7 * 0.34, "1", (0.0, 20.0), f"{_FRISTON}, k1 = 7 rho"),
    inside=Parameter(2.0, "1", (0.0, 20.0), f"{_FRISTON}, k2"),
    displaced=Parameter(2 * 0.34 - 0.2, "1", (-2.0, 5.0), f"{_FRISTON}, k3 = 2 rho - 0.2"),
)
STEPHAN_2007 = ParameterSet(
    "Stephan2007",
    signal_decay=Parameter(1 / 1.54, "1/s", (0.2, 2.0), f"{_STEPHAN}, kappa"),
    flow_feedback=Parameter(1 / 2.46, "1/s", (0.1, 1.0), f"{_STEPHAN}, gamma"),
    transit_time=Parameter(0.98, "s", (0.3, 3.0), f"{_STEPHAN}, tau"),
    stiffness=Parameter(0.33, "1", (0.1, 0.6), f"{_STEPHAN}, alpha"),
    extraction=Parameter(0.34, "1", (0.1, 0.8), f"{_STEPHAN}, E0"),
    volume=Parameter(0.02, "1", (0.005, 0.1), f"{_STEPHAN}, V0"),
    outside=Parameter(4.3 * 40.3 * 0.34 * 0.04, "1", (0.0, 20.0), f"{_STEPHAN}, k1 = 4.3 theta0 E0 TE; 1.5 T, echo time 40 ms"),
    inside=Parameter(1.43 * 25 * 0.34 * 0.04, "1", (0.0, 20.0), f"{_STEPHAN}, k2 = epsilon r0 E0 TE, epsilon 1.43"),
    displaced=Parameter(1 - 1.43, "1", (-2.0, 5.0), f"{_STEPHAN}, k3 = 1 - epsilon"),
)

Blood = Float[Array, "4 regions"]
Neural = Float[Array, "samples regions"]
Scalar = Float[Array, ""]


class BalloonWindkessel(eqx.Module):
    r"""Signal $s$, inflow $f$, volume $v$, deoxyhaemoglobin $q$ (all but $s$ as multiples of rest), driven by neural activity $z$:

    $$\dot s = z - \kappa s - \gamma(f-1),\quad \dot f = s,\quad \tau\dot v = f - v^{1/\alpha},\quad
    \tau\dot q = f\,\frac{1-(1-\rho)^{1/f}}{\rho} - v^{1/\alpha}\frac qv,$$
    $$y = V_0\left(k_1(1-q) + k_2(1-q/v) + k_3(1-v)\right).$$

    The state has $s$ and the logarithms of the others, which keeps them positive. At rest $z=0$: activity is what is above rest, in a
    unit such that $f = 1 + z/\gamma$ in the long run; $z$ from $-0.3$ to 1 per s² is what the model was made for, and $z\le-\gamma$ has no
    steady flow. $y$ is a relative change, 0.01 for one percent.

    Good values: :data:`FRISTON_2003`, :data:`STEPHAN_2007`. Source: equations 3 of Friston, Harrison, Penny (2003).

    Attributes:
        signal_decay: $\kappa$, 1/s.
        flow_feedback: $\gamma$, 1/s; as in the papers, of a flow per s².
        transit_time: $\tau$, s.
        stiffness: $\alpha$.
        extraction: $\rho$, of oxygen at rest.
        volume: $V_0$, of veins at rest.
        outside: $k_1$.
        inside: $k_2$.
        displaced: $k_3$.
    """

    signal_decay: Scalar
    flow_feedback: Scalar
    transit_time: Scalar
    stiffness: Scalar
    extraction: Scalar
    volume: Scalar
    outside: Scalar
    inside: Scalar
    displaced: Scalar

    @classmethod
    def published(cls, parameters: ParameterSet = FRISTON_2003) -> "BalloonWindkessel":
        """With the values of a paper."""
        return cls(**arrays_of(parameters))

    def rest(self, regions: int) -> Blood:
        """Where nothing happens."""
        return jnp.zeros((4, regions), self.signal_decay.dtype)

    def rates(self, blood: Blood, neural: Float[Array, " regions"]) -> Blood:
        """Change per s."""
        signal, flow, volume, content = blood[0], jnp.exp(blood[1]), jnp.exp(blood[2]), jnp.exp(blood[3])
        leaving = jnp.exp(blood[2] / self.stiffness)
        extracted = -jnp.expm1(jnp.log1p(-self.extraction) / flow) / self.extraction
        return jnp.stack(
            [
                neural - self.signal_decay * signal - self.flow_feedback * (flow - 1),
                signal / flow,
                (flow - leaving) / (self.transit_time * volume),
                (flow * extracted / content - leaving / volume) / self.transit_time,
            ]
        )

    def observed(self, blood: Blood) -> Float[Array, " regions"]:
        """$y$."""
        volume, content = jnp.exp(blood[2]), jnp.exp(blood[3])
        return self.volume * (self.outside * (1 - content) + self.inside * (1 - content / volume) + self.displaced * (1 - volume))

    def march(
        self, neural: Neural, interval_s: float, every: int = 1, blood: Blood | None = None
    ) -> tuple[Float[Array, "saves regions"], Blood]:
        """The signal after every so many samples, and the blood at the end, from which the next stretch goes on.

        One step per sample by the classical Runge-Kutta method, activity held over it: exact to order four where it is, so that what
        counts is that samples are means of the activity over their intervals (``mean=True`` of :meth:`physics.BrainNetwork.march`), of
        which blood sees the difference to the activity itself to order two only.

        Args:
            neural: $z$, one row per sample, means over intervals.
            interval_s: Between samples, s; 0.1 is short enough, at 0.5 strong activity is not resolved.
            every: Samples from one value to the next.
            blood: At the start; None is rest.

        Raises:
            ValueError: Samples are no positive multiple of ``every``, or no positive interval.
        """
        if every < 1 or not len(neural) or len(neural) % every or not interval_s > 0:
            got = f"{len(neural)} samples every {interval_s:g} s, a value every {every}"
            raise ValueError(f"got {got}; expected a positive multiple and interval; do: change one of them")

        def sample(blood: Blood, neural: Float[Array, " regions"]) -> tuple[Blood, None]:
            first = self.rates(blood, neural)
            second = self.rates(blood + 0.5 * interval_s * first, neural)
            third = self.rates(blood + 0.5 * interval_s * second, neural)
            fourth = self.rates(blood + interval_s * third, neural)
            return blood + interval_s / 6 * (first + 2 * second + 2 * third + fourth), None

        def save(blood: Blood, stretch: Neural) -> tuple[Blood, Float[Array, " regions"]]:
            blood, _ = jax.lax.scan(sample, blood, stretch)
            return blood, self.observed(blood)

        start = self.rest(neural.shape[1]).astype(neural.dtype) if blood is None else blood
        end, signal = jax.lax.scan(save, start, neural.reshape(-1, every, neural.shape[1]))
        return signal, end
