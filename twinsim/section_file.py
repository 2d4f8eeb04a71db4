"""Labelled sections of a vessel from files."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from physics.labelled_section import CALCIUM, LIPID
from twinsim.errors import InputError


def read_section(path: Path) -> Int[np.ndarray, "x y"]:
    """Pixels of an .npy, or of a .csv with commas: 0 outside, 1 lumen, 2 wall, 3 lipid, 4 calcium.

    Raises:
        InputError: A file that cannot be read, or no image of whole numbers with lipid or calcium.
    """
    try:
        labels = np.load(path) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"--labels {path}", "a file that can be read", "give the path of an .npy or .csv") from error
    whole = labels.ndim == 2 and np.issubdtype(labels.dtype, np.number) and np.array_equal(labels, np.round(labels))
    if not whole or not np.isin(labels, (LIPID, CALCIUM)).any():
        got = f"--labels {path} of shape {labels.shape}"
        raise InputError(got, "an image of whole numbers with lipid (3) or calcium (4)", "label the plaque")
    return labels.astype(int)
