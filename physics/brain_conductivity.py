r"""Conductivities of the brain: values per tissue, mixtures, and tensors from diffusion."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.parameters import Parameter, ParameterSet

BRAIN_CONDUCTIVITIES = ParameterSet(
    "BrainConductivities",
    grey=Parameter(0.275, "S/m", (0.05, 0.7), "Wagner 2004, IEEE Trans. Biomed. Eng. 51:1586 (recalled); 0.33 in other models"),
    white=Parameter(0.126, "S/m", (0.03, 0.5), "same (recalled); 0.14 in other models"),
    csf=Parameter(1.79, "S/m", (1.0, 2.5), "Baumann 1997, IEEE Trans. Biomed. Eng. 44:220, at body temperature (recalled)"),
    encapsulation=Parameter(0.16, "S/m", (0.02, 0.5), "Grill, Mortimer 1994, Ann. Biomed. Eng. 22:23: 627 Ohm cm (recalled)"),
)
"""Below some kHz; they differ among publications by a factor of two and rise with frequency."""

TUCH_SCALE = 844.0
"""S/m per mm²/s: 0.844 S s/mm³ of Tuch, Wedeen, Dale, George, Belliveau (2001), PNAS 98, 11697."""


def mixed_conductivity(
    grey: Float[ArrayLike, "x y z"],
    white: Float[ArrayLike, "x y z"],
    values: Float[ArrayLike, "3"],
) -> Float[Array, "x y z"]:
    r"""$\sigma = g\sigma_g + w\sigma_w + (1-g-w)\sigma_{csf}$ in S/m: what is neither grey nor white matter counts as cerebrospinal fluid.

    Args:
        grey: Fraction of each voxel.
        white: The same.
        values: Of grey and white matter and fluid, S/m; gradients reach them.

    The mean by volume is the upper bound for a mixture; in voxels at the ventricles it overestimates what crosses the interface.
    """
    grey, white, values = jnp.asarray(grey, dtype=float), jnp.asarray(white, dtype=float), jnp.asarray(values, dtype=float)
    total = jnp.maximum(grey + white, 1.0)
    return (grey * values[0] + white * values[1]) / total + jnp.clip(1 - grey - white, 0, 1) * values[2]


def conductivity_from_diffusion(
    diffusion: Float[ArrayLike, "*voxels 3 3"],
    isotropic: Float[ArrayLike, "*voxels"] | float = 1.0,
    scaling: Literal["volume normalised", "linear"] = "volume normalised",
) -> Float[Array, "*voxels 3 3"]:
    r"""A tensor of conductivity from a tensor of water's diffusion, which it shares its axes with.

    Args:
        diffusion: $D$ in mm²/s, symmetric positive definite; about 0.7e-3 in white matter.
        isotropic: $\sigma_{iso}$ in S/m, of each voxel or one number for all; not used with ``"linear"``.
        scaling: ``"volume normalised"``: $\sigma = \sigma_{iso}\,D/(\det D)^{1/3}$, so that the geometric mean over the axes is what it
            would be without anisotropy. ``"linear"``: $\sigma = 844\,D$ (0.844 S s/mm³).

    Raises:
        ValueError: A tensor that is not symmetric positive definite, or outside of 1e-6 to 1e-1 mm²/s (a wrong unit).

    Source: Tuch et al. (2001), PNAS 98, 11697 (linear: 0.844, sd 0.0545, S s/mm^3); Wolters et al. (2006), NeuroImage 30, 813
    (constraint of the volume, recalled).
    """
    diffusion = jnp.asarray(diffusion, dtype=float)
    if scaling not in ("volume normalised", "linear"):
        raise ValueError(f"got scaling {scaling!r}; expected 'volume normalised' or 'linear'; do: choose one of them")
    if diffusion.shape[-2:] != (3, 3):
        raise ValueError(f"got diffusion tensors of shape {diffusion.shape}; expected (..., 3, 3); do: build 3 x 3 from the six entries")
    if not isinstance(diffusion, Tracer):
        values = np.asarray(diffusion)
        if not np.isfinite(values).all() or not np.allclose(values, np.swapaxes(values, -1, -2), rtol=1e-5, atol=1e-12):
            raise ValueError("got diffusion tensors that are not finite and symmetric; expected D = D^T; do: repair the fit")
        low, high = (float(part) for part in (np.linalg.eigvalsh(values).min(), np.linalg.eigvalsh(values).max()))
        if low <= 0:
            raise ValueError(f"got a diffusion tensor with eigenvalue {low:g}; expected a positive definite one; do: clip its eigenvalues")
        if low < 1e-6 or high > 1e-1:
            raise ValueError(
                f"got diffusion from {low:g} to {high:g}; expected 1e-6 to 1e-1 mm^2/s; do: check the unit, 1 um^2/ms is 1e-3 mm^2/s"
            )
    if scaling == "linear":
        return TUCH_SCALE * diffusion
    mean = jnp.cbrt(jnp.linalg.det(diffusion))
    return jnp.asarray(isotropic, dtype=float)[..., None, None] * diffusion / mean[..., None, None]


def fibre_conductivity(
    isotropic: Float[ArrayLike, "*voxels"], direction: Float[ArrayLike, "3"] | tuple[float, float, float], ratio: ArrayLike
) -> Float[Array, "*voxels 3 3"]:
    r"""Volume-normalised tensors of one direction: $\rho^{2/3}\sigma$ along and $\rho^{-1/3}\sigma$ across, of ratio $\rho$."""
    along = jnp.asarray(direction, dtype=float)
    along = along / jnp.linalg.norm(along)
    ratio = jnp.asarray(ratio, dtype=float)
    unit = jnp.eye(3) * ratio ** (-1 / 3) + jnp.outer(along, along) * (ratio ** (2 / 3) - ratio ** (-1 / 3))
    isotropic = jnp.asarray(isotropic, dtype=float)[..., None, None]
    return isotropic * unit.reshape((1,) * (isotropic.ndim - 2) + (3, 3))
