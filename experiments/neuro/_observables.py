"""What neuro/whole_brain reads off the activity of its regions."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from physics import (
    BalloonWindkessel,
    functional_connectivity,
    metastability,
    order_parameter,
    signal_phases,
    spectral_peak,
    upper_triangle,
    welch_spectrum,
)
from twinsim.errors import InputError
from twinsim.figure_style import BLUE, SOFT, VERMILION, new_figure, quiet

DRIVE = 0.1  # of blood, per s^2, by one standard deviation of activity: fluctuations of about one percent
SHORTEST_S = 20.0  # of activity, before BOLD means anything
SLOWEST_S = 0.2  # between samples that drive blood
BETWEEN_S = 1.0  # values of BOLD
SETTLING_S = 10.0  # of blood from rest; left out of correlations
WINDOW_S = 2.0  # of the spectrum
BAND_HZ = (0.5, 200.0)


def check_bold(save: str, save_ms: float, duration_ms: float) -> None:
    """Refuses activity that BOLD cannot be made of.

    Raises:
        InputError: States instead of means, samples too far apart or that do not fill a second, or a record that is too short.
    """
    if save != "mean":
        raise InputError(f"--bold with --save {save}", "means over the time between samples, which blood sees", "choose --save mean")
    every = 1000 * BETWEEN_S / save_ms
    if save_ms > 1000 * SLOWEST_S or abs(every - round(every)) > 1e-6:
        got = f"--bold with save-ms {save_ms:g}"
        raise InputError(got, f"at most {1000 * SLOWEST_S:g} ms, and whole seconds of them", "choose 10, say")
    if duration_ms < 1000 * SHORTEST_S or duration_ms % (1000 * BETWEEN_S) > 1e-6:
        got = f"--bold with duration-ms {duration_ms:g}"
        raise InputError(got, f"whole seconds, {SHORTEST_S:g} or more", f"choose {1000 * SHORTEST_S:g} or more")


def bold_of(activity: np.ndarray, interval_s: float) -> np.ndarray:
    """BOLD in percent each second, ``(seconds, regions)``, from rest; activity in standard deviations round its mean drives blood."""
    spread = activity.std()
    drive = DRIVE * (activity - activity.mean()) / (spread if spread > 0 else 1.0)
    return 100 * np.asarray(BalloonWindkessel.published().march(jnp.asarray(drive), interval_s, round(BETWEEN_S / interval_s))[0])


def observed(activity: np.ndarray, interval_s: float, phases: bool, bold: np.ndarray | None) -> tuple[dict[str, Any], np.ndarray]:
    """Headline numbers of a record ``(samples, regions)``, and its functional connectivity (of BOLD, where there is one).

    Args:
        activity: The first variable.
        interval_s: Between samples, s.
        phases: Whether it is a phase already.
        bold: Percent per second, or None.
    """
    signal = np.sin(activity) if phases else activity
    angle = jnp.asarray(activity) if phases else signal_phases(jnp.asarray(signal))
    of_signal = functional_connectivity(jnp.asarray(signal))
    found: dict[str, Any] = {
        "functional_connectivity_mean": float(upper_triangle(of_signal).mean()),
        "order_parameter_mean": float(order_parameter(angle).mean()),
        "metastability": float(metastability(angle)),
        "spectral_peak_hz": _peak(signal, interval_s),
    }
    if bold is None:
        return found, np.asarray(of_signal)
    settled = jnp.asarray(bold[round(SETTLING_S / BETWEEN_S) :])
    of_bold = functional_connectivity(settled)
    found |= {"bold_sd_percent": float(settled.std()), "bold_functional_connectivity_mean": float(upper_triangle(of_bold).mean())}
    return found, np.asarray(of_bold)


def _peak(signal: np.ndarray, interval_s: float) -> float | None:
    """Median over regions; None where the record is too short or has no power."""
    window = min(len(signal), round(WINDOW_S / interval_s))
    if window < 8 or not signal.std(axis=0).any():
        return None
    at, power = welch_spectrum(jnp.asarray(signal), interval_s, window)
    if ((at >= BAND_HZ[0]) & (at <= BAND_HZ[1])).sum() < 3:
        return None
    return float(jnp.median(spectral_peak(at, power, BAND_HZ)))


def picture(connectivity: np.ndarray, activity: np.ndarray, interval_s: float, bold: np.ndarray | None, unit: str = "") -> Figure:
    """Functional connectivity beside BOLD, or beside the spectrum where there is none."""
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    image = left.imshow(connectivity, cmap="RdBu_r", vmin=-1, vmax=1)
    figure.colorbar(image, ax=left, label="correlation", shrink=0.7)
    left.set_xlabel("region")
    left.set_ylabel("region")
    left.set_title("functional connectivity" + (" of BOLD" if bold is not None else ""), fontsize=10)
    if bold is not None:
        seconds = (1 + np.arange(len(bold))) * BETWEEN_S
        right.plot(seconds, bold, color=SOFT, linewidth=0.4, alpha=0.4)
        right.plot(seconds, bold.mean(axis=1), color=VERMILION, linewidth=1.6)
        right.set_xlabel("time (s)")
        right.set_ylabel("BOLD (%)")
        right.set_title("regions, and their mean", fontsize=10)
    elif len(activity) >= 8:
        at, power = welch_spectrum(jnp.asarray(activity), interval_s, min(len(activity), max(8, round(WINDOW_S / interval_s))))
        right.loglog(at[1:], np.asarray(power[1:]).mean(axis=1), color=BLUE)
        right.set_xlabel("frequency (Hz)")
        right.set_ylabel(f"power, mean of regions (({unit})²/Hz)" if unit and unit != "1" else "power per Hz, mean of regions")
    quiet(right)
    return figure
