"""Cubic B-splines on voxels: smooth values between them, differentiable in the place."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def spline_coefficients(fields: Float[np.ndarray, "fields x y z"], mask: np.ndarray) -> Float[np.ndarray, "fields x y z"]:
    """Coefficients of the splines through the values at voxels' centres; outside of the mask the nearest value inside stands.

    Source: Unser (1999), IEEE Signal Process. Mag. 16, 22 (by SciPy's recursive filter, mirrored at the ends).
    """
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    full = fields[(slice(None), *nearest)]
    return np.stack([ndimage.spline_filter(field.astype(float), order=3, mode="mirror") for field in full]).astype(fields.dtype)


def spline_values(coefficients: Float[Array, "fields x y z"], index: Float[Array, "points 3"]) -> Float[Array, "fields points"]:
    """Values at places counted in voxels; twice continuously differentiable. Beyond one voxel from the ends the last polynomial goes on."""
    sizes = jnp.asarray(coefficients.shape[1:])
    first = jnp.clip(jnp.floor(index).astype(int), 1, sizes[None] - 3)
    t = index - first
    u = 1 - t
    weights = jnp.stack([u**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * u**2 + 3 * u**3) / 6, t**3 / 6])
    x, y, z = first.T[:, :, None] + jnp.arange(-1, 3)[None, None, :]
    near = coefficients[:, x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]]
    return jnp.einsum("epijk,ip,jp,kp->ep", near, weights[..., 0], weights[..., 1], weights[..., 2])
