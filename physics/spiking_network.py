"""All-to-all coupled quadratic integrate-and-fire neurons: whole spikes, by the exact flow of every neuron over a step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from physics.mass_montbrio_pazo_roxin import MontbrioPazoRoxin
from solvers import Status

Neurons = Float[Array, " neurons"]
Scalar = Float[Array, ""]

_SMALL = 1e-4  # |a h^2| below which three terms of the series are exact to rounding in float64
_GOLDEN = 0.6180339887498949


class SpikingState(eqx.Module):
    r"""Where neurons are, and what they hear.

    Attributes:
        direction: $(\sin\frac\theta2, \cos\frac\theta2)$ with $V=\tan\frac\theta2$; the second is not negative.
        activity: $s$, spikes per neuron and ms.
    """

    direction: Float[Array, "2 neurons"]
    activity: Scalar

    @classmethod
    def of(cls, potentials: Neurons, activity: Scalar | float = 0.0) -> "SpikingState":
        """From potentials; infinite ones are the moment of a spike."""
        angle = jnp.arctan(potentials)
        return cls(jnp.stack([jnp.sin(angle), jnp.cos(angle)]), jnp.asarray(activity, potentials.dtype))

    @property
    def potentials(self) -> Neurons:
        """$V$, without a unit."""
        return self.direction[0] / self.direction[1]


class SpikingRecord(eqx.Module):
    """What a march kept.

    Attributes:
        rate: Spikes per neuron and ms in each bin.
        activity: $s$ at the end of each bin.
        final: State at the end.
        status: :class:`solvers.Status`: ``NOT_FINITE`` where a neuron's state is not, and ``SUCCESS``.
    """

    rate: Float[Array, " bins"]
    activity: Float[Array, " bins"]
    final: SpikingState
    status: Int[Array, ""]


class SpikingNetwork(eqx.Module):
    r"""$\tau\dot V_j = V_j^2 + \eta_j + J\tau s + I(t)$; a spike where $V\to\infty$, which comes back from $-\infty$ at once.

    $s$ follows the spikes of all $N$ neurons, $\tau_s\dot s = -s + \frac1N\sum_{j,k}\delta(t-t_j^k)$; $\tau_s=0$ is the instantaneous
    synapse of the mean field :class:`physics.MontbrioPazoRoxin`, where $s=r$.

    Method: over a step $s$ and $I$ are held, $a=\eta+J\tau s+I$, and $V=x/y$ makes the equation linear, $\tau\dot x=ay$, $\tau\dot y=-x$,
    so that $(x, y)$ turns by a closed form (trigonometric for $a>0$, hyperbolic below). Every change of sign of $y$ is a spike, and any
    number of them in one step is counted. These are the theta neurons of Ermentrout and Kopell. It was preferred to a largest
    potential $V_p$ with a refractory time $2\tau/V_p$, whose error is of order $1/V_p^3$ of a period and which needs steps far below
    $1/V_p$: here nothing is cut off, and a neuron in a constant current is exact to rounding for every step. A step is taken twice, with
    $s$ as it was and with its mean over the step from the spikes of the first try: of order two in $I$ (given by its mean or middle) and
    in $s$, for many neurons. Single spikes act on others at an unknown time of their step, which leaves an error that falls with $N$.

    Derivatives: the flow is smooth through a spike, so that derivatives of states of neurons **without coupling** ($J=0$) are exact.
    The number of spikes in a step is piecewise constant: derivatives of ``rate`` and ``activity``, and whatever reaches a neuron by
    $s$, are **zero where they should not be**. For slopes use the mean field.

    Batches: ``jax.vmap`` over any leaf, state or input. Good values: :data:`physics.MONTBRIO_PAZO_ROXIN_2015`, steps of 0.001 to 0.01
    $\tau$, a thousand neurons and more. Fails where $J\tau s$ changes much within a step (strong excitation in bursts).

    Sources: Montbrió, Pazó, Roxin 2015, *Phys Rev X* 5, 021028, section II; Ermentrout, Kopell 1986, *SIAM J Appl Math* 46, 233.

    Attributes:
        excitabilities: $\eta_j$, without a unit.
        synaptic_weight: $J$, without a unit.
        membrane_time: $\tau$, ms.
        synaptic_time: $\tau_s$, ms, from 0.
        dt_ms: Step.
    """

    excitabilities: Neurons
    synaptic_weight: Scalar
    membrane_time: Scalar
    synaptic_time: Scalar
    dt_ms: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not self.dt_ms > 0:
            raise ValueError(f"got a step of {self.dt_ms} ms; expected one above 0; do: give 0.001 to 0.01 of the membrane time")

    @classmethod
    def of(cls, mass: MontbrioPazoRoxin, neurons: int, dt_ms: float, synaptic_time: float = 0.0) -> "SpikingNetwork":
        r"""The neurons of a mean field: $\eta_j=\bar\eta+I+\Delta x_j$ with $x_j$ by :func:`lorentzian_cells`.

        Raises:
            ValueError: No neuron, or a synaptic time below zero.
        """
        if neurons < 1 or not synaptic_time >= 0:
            raise ValueError(f"got {neurons} neurons and {synaptic_time} ms; expected 1 or more and 0 ms or more; do: correct it")
        dtype = mass.membrane_time.dtype
        spread = jnp.asarray(lorentzian_cells(neurons), dtype)
        excitabilities = mass.mean_excitability + mass.input + mass.excitability_width * spread
        return cls(excitabilities, mass.synaptic_weight, mass.membrane_time, jnp.asarray(synaptic_time, dtype), dt_ms)

    def initial_state(self, rate: Scalar | float, potential: Scalar | float) -> SpikingState:
        r"""A state with this rate $r$ (1/ms) and mean potential $v$: potentials Lorentzian around $v$ with half width $\pi\tau r$.

        They do not depend on $\eta$: quantiles in the order of multiples of the golden ratio. $s=r$. The mean field follows such a state
        exactly for many neurons.
        """
        count = self.excitabilities.shape[0]
        quantiles = jnp.argsort(jnp.argsort((jnp.arange(1, count + 1) * _GOLDEN) % 1.0))
        spread = jnp.tan(0.5 * jnp.pi * (2 * quantiles + 1 - count) / count).astype(self.excitabilities.dtype)
        return SpikingState.of(potential + jnp.pi * self.membrane_time * rate * spread, rate)

    def step(self, state: SpikingState, current: Scalar) -> tuple[SpikingState, Scalar]:
        """One step with a held current $I$; the state after it, and the spikes per neuron and ms within it."""
        tau, tau_s = self.membrane_time, self.synaptic_time
        extent = self.dt_ms / jnp.where(tau_s > 0, tau_s, 1.0)
        left = jnp.where(tau_s > 0, jnp.exp(-extent), 0.0)  # of s after the step
        held = jnp.where(tau_s > 0, -jnp.expm1(-extent) / extent, 0.0)  # of s in its mean over the step

        def tried(mean_activity: Scalar) -> tuple[Float[Array, "2 neurons"], Scalar]:
            drive = self.excitabilities + self.synaptic_weight * tau * mean_activity + current
            direction, spikes = turned(state.direction, drive, self.dt_ms / tau)
            return direction, spikes.mean() / self.dt_ms

        _, rate = tried(state.activity)
        direction, rate = tried(held * state.activity + (1 - held) * rate)
        return SpikingState(direction, left * state.activity + (1 - left) * rate), rate

    def march(self, state: SpikingState, currents: Float[Array, " steps"], *, every: int = 1) -> SpikingRecord:
        """Steps of ``dt_ms``, one for each current.

        Args:
            state: At the start.
            currents: $I$, the same for all neurons: its mean, or its value in the middle, over each step.
            every: Steps of a bin of the rate.

        Raises:
            ValueError: The steps are not whole bins, or the state is of other neurons.
        """
        if every < 1 or currents.shape[0] % every:
            raise ValueError(f"got {currents.shape[0]} currents in bins of {every}; expected whole bins; do: give a divisor")
        if state.direction.shape[-1] != self.excitabilities.shape[-1]:
            got, own = state.direction.shape[-1], self.excitabilities.shape[-1]
            raise ValueError(f"got a state of {got} neurons; expected {own}; do: make it with initial_state of this network")

        def one(state: SpikingState, current: Scalar) -> tuple[SpikingState, Scalar]:
            return self.step(state, current)

        def one_bin(state: SpikingState, currents: Float[Array, " every"]) -> tuple[SpikingState, tuple[Scalar, Scalar]]:
            state, rates = jax.lax.scan(one, state, currents)
            return state, (rates.mean(), state.activity)

        final, (rate, activity) = jax.lax.scan(one_bin, state, currents.reshape(-1, every))
        finite = jnp.isfinite(final.direction).all() & jnp.isfinite(final.activity)
        return SpikingRecord(rate, activity, final, jnp.where(finite, int(Status.SUCCESS), int(Status.NOT_FINITE)))


def turned(direction: Float[Array, "2 neurons"], drive: Neurons, extent: Scalar | float) -> tuple[Float[Array, "2 neurons"], Neurons]:
    r"""$\dot V = V^2 + a$ over an extent $h$, exactly: $x'=Cx+aSy$, $y'=Cy-Sx$ with $C=\cos\omega h$, $S=\sin(\omega h)/\omega$,
    $\omega=\sqrt a$ ($C=1$, $S=\tanh(\omega h)/\omega$, $\omega=\sqrt{-a}$ for $a<0$: lengths do not matter).

    Returns:
        Direction afterwards, and the number of spikes.
    """
    angle_squared = drive * extent * extent
    small = jnp.abs(angle_squared) < _SMALL
    angle = jnp.sqrt(jnp.where(small, 1.0, jnp.abs(angle_squared)))  # of 1 where it is not used, so that its slope is finite
    up = drive > 0
    cosine = jnp.where(small, 1 - angle_squared / 2 * (1 - angle_squared / 12), jnp.where(up, jnp.cos(angle), 1.0))
    sine = jnp.where(small, 1 - angle_squared / 6 * (1 - angle_squared / 20), jnp.where(up, jnp.sin(angle), jnp.tanh(angle)) / angle)
    x, y = direction
    after_x, after_y = cosine * x + drive * extent * sine * y, cosine * y - extent * sine * x
    half_turns = jnp.where(up & ~small, jnp.floor(angle / jnp.pi), 0.0)
    odd = jnp.where(half_turns % 2 == 1, -1.0, 1.0)  # after an odd number of half turns the sign of y has changed anyway
    spikes = half_turns + (odd * after_y < 0)
    scale = jnp.where(after_y < 0, -1.0, 1.0) * jax.lax.rsqrt(after_x * after_x + after_y * after_y)
    return jnp.stack([after_x, after_y]) * scale[None], spikes.astype(direction.dtype)


def lorentzian_cells(count: int) -> Float[np.ndarray, " count"]:
    r"""One value for each of equally probable cells of the standard Lorentzian: the square of the mean of $\sqrt{|x|}$, with its sign.

    A neuron far above threshold fires at $\sqrt\eta/\pi\tau$, so that these represent the rate of the outermost cells. Plain quantiles
    do not: they lose a rate of order $1/\sqrt{\text{count}}$ that sits in the tail. On the host.
    """
    edges = np.abs(np.linspace(-1.0, 1.0, count + 1))[: count // 2 + 1]  # of the lower half, as 1 - 2 * probability
    nodes, weights = np.polynomial.legendre.leggauss(8)
    roots = np.sqrt(1 - edges[: count // 2 + 1])  # w = sqrt(1 - u) takes the singularity at u = 1 away
    low, high = roots[:-1, None], roots[1:, None]
    w = 0.5 * (low + high) + 0.5 * (high - low) * nodes
    mean = (weights * np.sqrt(1 / np.tan(0.5 * np.pi * w * w)) * 2 * w).sum(axis=1) * 0.5 * (high - low)[:, 0] * count / 2
    return np.concatenate([-(mean**2), np.zeros(count % 2), mean[::-1] ** 2])
