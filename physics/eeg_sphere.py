r"""What electrodes on a ball of one conductivity see of current dipoles in it: the simplest head."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float


def sphere_lead_field(
    electrodes: Float[ArrayLike, "electrodes 3"], dipoles: Float[ArrayLike, "dipoles 3"], radius: ArrayLike, conductivity: ArrayLike
) -> Float[Array, "electrodes dipoles 3"]:
    r"""Potential at the surface per unit dipole along each axis, against the mean over the sphere.

    $$V = \frac{p}{4\pi\sigma}\cdot\Big[\frac{2(r-r_0)}{d^3}
      + \frac{1}{R^2d}\Big(r + \frac{(r\cdot r_0)\,r - R^2 r_0}{R\,d + R^2 - r\cdot r_0}\Big)\Big],\quad d = |r-r_0|$$

    Args:
        electrodes: $r$, mm from the centre; moved along the ray onto the sphere.
        dipoles: $r_0$, mm, inside.
        radius: $R$, mm; 85 to 95 for an adult's head.
        conductivity: $\sigma$ in S/m; 0.33 for the brain alone. A skull, 40 to 80 times less conductive, is not there: it lowers
            potentials by two to three and smears them.

    Returns:
        V per mA mm, which is mV per µA mm; 1 nA m is 1 µA mm.

    Raises:
        ValueError: An electrode at the centre, a dipole on or outside of the sphere, a radius or a conductivity that is not positive.

    Source: Brody, Terry, Ideker (1973), IEEE Trans. Biomed. Eng. 20, 141 (the bounded sphere in closed form).
    """
    electrodes, dipoles = jnp.asarray(electrodes, dtype=float), jnp.asarray(dipoles, dtype=float)
    radius, conductivity = jnp.asarray(radius, dtype=float), jnp.asarray(conductivity, dtype=float)
    size = jnp.linalg.norm(electrodes, axis=-1, keepdims=True)
    if not any(isinstance(part, Tracer) for part in (electrodes, dipoles, radius, conductivity)):
        if not (float(radius) > 0 and float(conductivity) > 0):
            raise ValueError(
                f"got a sphere of {float(radius):g} mm and {float(conductivity):g} S/m; expected both positive; do: check them"
            )
        if not float(size.min()) > 0:
            raise ValueError("got an electrode at the centre of the sphere; expected it away from there; do: count from the centre")
        deepest = float(np.linalg.norm(np.asarray(dipoles), axis=-1).max())
        if not deepest < float(radius):
            raise ValueError(f"got a dipole {deepest:.4g} mm from the centre; expected less than {float(radius):g}; do: fit the sphere")
    r = (radius * electrodes / size)[:, None, :]
    away = r - dipoles[None]
    d = jnp.linalg.norm(away, axis=-1, keepdims=True)
    along = (r * dipoles[None]).sum(axis=-1, keepdims=True)
    second = (r + (along * r - radius**2 * dipoles[None]) / (radius * d + radius**2 - along)) / (radius**2 * d)
    return (2 * away / d**3 + second) / (4 * jnp.pi * conductivity)


def average_reference(gain: Float[Array, "electrodes *sources"]) -> Float[Array, "electrodes *sources"]:
    """Against the mean over the electrodes, as an electroencephalogram is often shown."""
    return gain - gain.mean(axis=0, keepdims=True)
