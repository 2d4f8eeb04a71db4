"""Whether regions oscillate together: phases of signals, Kuramoto's order parameter, metastability."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

Phases = Float[Array, "samples regions"]


def analytic_signal(signals: Float[Array, "samples regions"]) -> Complex[Array, "samples regions"]:
    """The signal with its Hilbert transform as imaginary part, by Fourier transform over all samples; means are taken out.

    The record is taken as periodic: the first and last cycles are wrong where it is not. Phases mean something for narrow bands only.
    """
    count = len(signals)
    off = signals - jnp.mean(signals, axis=0, keepdims=True)
    number = jnp.arange(count)
    keep = jnp.where(number == 0, 1.0, jnp.where(number < (count + 1) // 2, 2.0, jnp.where(2 * number == count, 1.0, 0.0)))
    return jnp.fft.ifft(jnp.fft.fft(off, axis=0) * keep[:, None].astype(signals.dtype), axis=0)


def signal_phases(signals: Float[Array, "samples regions"]) -> Phases:
    """Phases of :func:`analytic_signal`, from minus to plus pi."""
    return jnp.angle(analytic_signal(signals))


def order_parameter(phases: Phases) -> Float[Array, " samples"]:
    r"""$R = |\frac1N\sum_j e^{i\theta_j}|$: 1 where all phases are alike, about $1/\sqrt N$ where they are random."""
    return jnp.sqrt(jnp.mean(jnp.cos(phases), axis=1) ** 2 + jnp.mean(jnp.sin(phases), axis=1) ** 2)


def metastability(phases: Phases) -> Float[Array, ""]:
    """Standard deviation of the order parameter over time (Shanahan 2010, *Chaos* 20, 013108, of one community)."""
    return jnp.std(order_parameter(phases))
