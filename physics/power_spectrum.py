"""At which frequencies signals have their power: Welch's spectrum and its peak."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Signals = Float[Array, "samples regions"]


def welch_spectrum(
    signals: Signals, interval_s: float, window: int
) -> tuple[Float[np.ndarray, " frequencies"], Float[Array, "frequencies regions"]]:
    """Frequencies (Hz) and power per Hz, one-sided: the mean over Hann windows that overlap by half, each without its mean.

    Source: Welch (1967), *IEEE Trans Audio Electroacoust* 15, 70.

    Args:
        signals: One column per region.
        interval_s: Between samples, s.
        window: Samples in a window; the resolution is about two over its duration.

    Raises:
        ValueError: A window of fewer than four samples or longer than the record, or no positive interval.
    """
    if not (4 <= window <= len(signals)) or not interval_s > 0:
        got = f"windows of {window} of {len(signals)} samples, {interval_s:g} s apart"
        raise ValueError(f"got {got}; expected 4 samples to all, a positive interval; do: change one of them")
    starts = np.arange(0, len(signals) - window + 1, window - window // 2)
    pieces = signals[starts[:, None] + np.arange(window)]
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    pieces = (pieces - jnp.mean(pieces, axis=1, keepdims=True)) * jnp.asarray(taper, signals.dtype)[None, :, None]
    transform = jnp.fft.rfft(pieces, axis=1)
    sides = np.full(window // 2 + 1, 2.0)
    sides[0] = 1.0
    if window % 2 == 0:
        sides[-1] = 1.0
    scale = jnp.asarray(sides * interval_s / (taper**2).sum(), signals.dtype)
    power = jnp.mean(transform.real**2 + transform.imag**2, axis=0) * scale[:, None]
    return np.fft.rfftfreq(window, interval_s), power


def spectral_peak(
    frequencies: Float[np.ndarray, " frequencies"], power: Float[Array, "frequencies regions"], band_hz: tuple[float, float]
) -> Float[Array, " regions"]:
    r"""Frequency of the largest power in a band, Hz: the vertex of the parabola through the logarithms of three values.

    Of one sine, whose Hann line is nearly a parabola there, to 2 % of the frequencies' spacing. Differentiable except where the largest
    value changes its place. Where the largest value is at the end of the band there is no peak in it, and the end is returned.

    Raises:
        ValueError: Fewer than three frequencies in the band.
    """
    inside = np.flatnonzero((frequencies >= band_hz[0]) & (frequencies <= band_hz[1]))
    if inside.size < 3:
        got = f"{inside.size} frequencies from {band_hz[0]:g} to {band_hz[1]:g} Hz"
        raise ValueError(f"got {got}; expected 3 or more; do: widen the band or take longer windows")
    logs = jnp.log(jnp.maximum(power[inside], jnp.finfo(power.dtype).tiny))
    top = jnp.argmax(logs, axis=0)
    middle = jnp.clip(top, 1, inside.size - 2)
    column = jnp.arange(logs.shape[1])
    below, at, above = (logs[middle + k, column] for k in (-1, 0, 1))
    curvature = below - 2 * at + above
    shift = jnp.where(curvature < 0, 0.5 * (below - above) / jnp.where(curvature < 0, curvature, -1.0), 0.0)
    shift = jnp.where(top == middle, shift, (top - middle).astype(power.dtype))
    spacing = float(frequencies[1] - frequencies[0])
    return float(frequencies[inside[0]]) + spacing * (middle.astype(power.dtype) + shift)
