"""Diffusion tensors of a file in the cube of tissue round a lead."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.neuro._dbs_report import Scene, TissueTensors
from twinsim.diffusion_tensors import read_tensors, tensors_onto
from twinsim.errors import InputError

COVERED = 0.5  # of the brain in the cube that needs a tensor; less means another space
ASTRAY = 25.0  # degrees between the capsule's fibres and what the tensors say, beyond which axes are doubted; a mirrored x gives 35


def tissues(scene: Scene) -> tuple[jax.Array, jax.Array]:
    """Shares of grey and white matter; the target is grey, whatever the maps call it."""
    grey = scene.anatomy.grey * (1 - scene.target) + scene.target
    return jnp.asarray(grey), jnp.asarray(scene.anatomy.white * (1 - scene.target))


def check_tensor_options(tensors: Path | None, convention: str, scaling: str, anisotropy: float) -> None:
    """Refuses options that do not go together."""
    if tensors is not None and not convention:
        raise InputError(
            f"tensors {tensors.name} without tensor-convention",
            "fsl or mrtrix, which no file says",
            "say which program made it",
        )
    if tensors is None and (convention or scaling == "linear"):
        raise InputError("tensor-convention or tensor-scaling without tensors", "--tensors FILE", "name the file of diffusion tensors")
    if tensors is not None and anisotropy != 1:
        raise InputError("tensors and capsule-anisotropy at once", "one of them", "leave capsule-anisotropy at 1")


def tissue_tensors(path: Path, convention: str, scene: Scene) -> TissueTensors:
    """Tensors of a file on the voxels of the cube.

    Raises:
        InputError: As :func:`twinsim.diffusion_tensors.read_tensors`; tensors in less than half of the brain in the cube.
    """
    tensors = read_tensors(path, "fsl" if convention == "fsl" else "mrtrix")
    shape = scene.anatomy.shape
    diffusion, known = tensors_onto(tensors, shape, scene.anatomy.affine)
    brain = scene.anatomy.mask
    share = float(known[brain].mean()) if brain.any() else 0.0
    if share < COVERED:
        raise InputError(
            f"{path} with tensors in {100 * share:.0f} % of the brain in the cube",
            f"at least {100 * COVERED:.0f} %, in MNI152 space",
            "register the tensors to MNI152 (and turn them with it), or enlarge their mask",
        )
    return TissueTensors(diffusion, known, tensors.raised)


def tensor_summary(scene: Scene, fibres: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """How many voxels have a tensor, and how their directions in the internal capsule lie to what anatomy says, with words of doubt."""
    tensors = scene.tensors
    if tensors is None:
        return {}, []
    brain, inside = scene.anatomy.mask, tensors.known & (scene.capsule > 0.5)
    found: dict[str, Any] = {
        "tensors_in_brain_percent": 100 * float(tensors.known[brain].mean()),
        "tensors_raised_percent": 100 * tensors.raised,
        "capsule_fibre_angle_degrees": None,
        "capsule_anisotropy_median": None,
    }
    words = []
    if inside.any():
        values, vectors = np.linalg.eigh(tensors.diffusion[inside])
        angle = np.degrees(np.arccos(np.clip(np.abs(vectors[..., 2] @ fibres), 0, 1)))
        found["capsule_fibre_angle_degrees"] = float(np.median(angle))
        found["capsule_anisotropy_median"] = float(np.median(values[:, 2] / np.sqrt(values[:, 0] * values[:, 1])))
        if found["capsule_fibre_angle_degrees"] > ASTRAY:
            words.append(
                f"Tensors in the internal capsule point {found['capsule_fibre_angle_degrees']:.0f} degrees away from its fibres: "
                "check tensor-convention and whether tensors were turned with the registration."
            )
    if tensors.raised > 0.1:
        words.append(f"{100 * tensors.raised:.0f} % of the tensors had eigenvalues below a tenth of the largest, and were raised.")
    return found, words
