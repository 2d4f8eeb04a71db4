"""Pulsatile flow in a long, rigid, straight tube, in closed form."""

import numpy as np
from jaxtyping import Float
from scipy.special import jv


def womersley_number(radius: float, period: float, viscosity: float) -> float:
    r"""$\alpha=R\sqrt{2\pi/(T\nu)}$; m, s, kinematic viscosity in m²/s."""
    return float(radius * np.sqrt(2 * np.pi / (period * viscosity)))


def womersley_shear(
    flow: Float[np.ndarray, " times"], radius: float, period: float, density: float, viscosity: float
) -> Float[np.ndarray, " times"]:
    r"""Wall shear stress (Pa) at the times of a periodic flow, exact harmonic by harmonic.

    The balance of a disc, $\pi R^2G=\rho\,\dot Q+2\pi R\tau$, and $Q=\pi R^2G(1-F)/(i\rho\omega)$ give
    $\tau=\frac{i\rho\omega}{2\pi R}\frac{F}{1-F}Q$ with $F=2J_1(\Lambda)/(\Lambda J_0(\Lambda))$, $\Lambda=i^{3/2}\alpha$; and
    $4\mu Q/\pi R^3$ of the mean.

    Args:
        flow: m³/s at equal distances over a period, the first time not repeated.
        radius: m.
        period: s.
        density: kg/m³.
        viscosity: Pa s.

    Returns:
        The drag of the fluid on the wall, positive along the flow. Harmonics with an $\alpha$ above 300 are left out: Bessel functions
        overflow, and no waveform has any.

    Source: Womersley 1955 (J Physiol 127:553), eqs 8-17.
    """
    waves = np.fft.rfft(np.asarray(flow, float))
    stress = np.zeros_like(waves)
    stress[0] = 4 * viscosity * waves[0] / (np.pi * radius**3)
    for place in range(1, len(waves)):
        frequency = 2 * np.pi * place / period
        alpha = radius * np.sqrt(frequency * density / viscosity)
        if alpha < 300:
            root = 1j**1.5 * alpha
            share = 2 * jv(1, root) / (root * jv(0, root))
            stress[place] = 1j * density * frequency / (2 * np.pi * radius) * share / (1 - share) * waves[place]
    return np.fft.irfft(stress, len(flow))
