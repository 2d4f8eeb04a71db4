"""The compactly supported correlation function of Gaspari and Cohn."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def gaspari_cohn(distance: Float[Array, "*any"], half_width: float) -> Float[Array, "*any"]:
    r"""A taper that looks like a normal curve of deviation $c\sqrt{0.3}$ and is exactly zero from $2c$ on.

    With $z = r/c$: $-\tfrac14z^5+\tfrac12z^4+\tfrac58z^3-\tfrac53z^2+1$ up to 1,
    $\tfrac1{12}z^5-\tfrac12z^4+\tfrac58z^3+\tfrac53z^2-5z+4-\tfrac2{3z}$ up to 2. It is a correlation function in three dimensions, so that
    a covariance times it stays a covariance.

    Args:
        distance: $r\ge0$.
        half_width: $c$, in the same unit.

    Source: Gaspari and Cohn (1999), Q. J. R. Meteorol. Soc. 125:723, eq. 4.10.
    """
    z = distance / half_width
    near = (((-0.25 * z + 0.5) * z + 0.625) * z - 5 / 3) * z**2 + 1
    safe = jnp.maximum(z, 1.0)
    far = ((((safe / 12 - 0.5) * safe + 0.625) * safe + 5 / 3) * safe - 5) * safe + 4 - 2 / (3 * safe)
    return jnp.where(z < 1, near, jnp.where(z < 2, far, 0.0))
