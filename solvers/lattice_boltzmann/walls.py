"""What a population is when it comes back from a wall: three rules, each a sum of three populations of known voxels."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

WallRule = Literal["halfway", "linear", "central"]


def wall_coefficients(
    rule: WallRule, fraction: Float[Array, " walls"], has_behind: Bool[Array, " walls"]
) -> tuple[Float[Array, "3 walls"], Float[Array, " walls"]]:
    r"""Coefficients of :math:`f_{\bar i}(x_f,t+1)=k_1f_i^*(x_f)+k_0f_i^*(x_f-c_i)+k_{-1}f_{\bar i}^*(x_f)+m\,w_i\,c_i\cdot u_w/c_s^2`.

    ======== =========================================================================================================================
    halfway  k = (1, 0, 0), m = -2: the wall lies half way of every link, whatever the fraction.
    linear   q < 1/2: k = (2q, 1-2q, 0), m = -2; else k = (1, 0, 2q-1)/(2q), m = -1/q. Bouzidi, Firdaouss, Lallemand 2001, eq 5.
    central  k = (1, s, -s), s = (1-2q)/(1+2q), m = -4/(1+2q): one formula for every q, smooth in it, with a place of the wall that does
             not depend on the viscosity under two relaxation times. Ginzburg, Verhaeghe, d'Humières 2008 (CLI).
    ======== =========================================================================================================================

    Where no fluid voxel lies behind (canals of one voxel) rules that need it become half-way.

    Args:
        rule: As above.
        fraction: Part of the link inside the fluid, above 0 to 1.
        has_behind: Whether the voxel behind is fluid.

    Returns:
        Coefficients, and m.
    """
    half = jnp.full_like(fraction, 0.5)
    one, none = jnp.ones_like(fraction), jnp.zeros_like(fraction)
    if rule == "halfway":
        return jnp.stack([one, none, none]), -2 * one
    if rule == "central":
        q = jnp.where(has_behind, fraction, half)
        share = (1 - 2 * q) / (1 + 2 * q)
        return jnp.stack([one, share, -share]), -4 / (1 + 2 * q)
    q = jnp.where(has_behind | (fraction >= 0.5), fraction, half)
    near = q < 0.5
    far = jnp.where(near, half, q)
    coefficients = [jnp.where(near, 2 * q, 0.5 / far), jnp.where(near, 1 - 2 * q, none), jnp.where(near, none, 1 - 0.5 / far)]
    return jnp.stack(coefficients), jnp.where(near, -2 * one, -1 / far)
