"""Shares of cell types in an annotated single-cell data set (AnnData's HDF5 layout)."""

from pathlib import Path

import h5py
import numpy as np

from twinsim.errors import InputError, near_misses


def read_composition(path: str | Path, label: str = "bulk_labels") -> dict[str, float]:
    """How the cells of a file divide over the categories of one annotation, largest first.

    Args:
        path: An ``.h5ad`` file.
        label: A categorical column of ``obs``.

    Returns:
        Category to its share; the shares sum to one. Cells without a category are left out.

    Raises:
        InputError: No such file, no such annotation, or no cell that has one.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {path}", "an h5ad file of annotated cells", "check the path")
    try:
        with h5py.File(path) as file:
            groups = file["obs"]
            categorical = [name for name, column in groups.items() if isinstance(column, h5py.Group) and "codes" in column]
            if label not in categorical:
                raise InputError(f"annotation {label!r} of {path.name}", "a categorical column of obs", near_misses(label, categorical))
            codes = np.asarray(groups[label]["codes"], dtype=int)
            names = [name.decode() if isinstance(name, bytes) else str(name) for name in groups[label]["categories"][:]]
    except (OSError, KeyError) as error:
        raise InputError(f"{path.name}, which is no AnnData file", "an h5ad file", "write it again with anndata") from error
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    if not counts.sum():
        raise InputError(f"{path.name}: no cell with a {label}", "at least one annotated cell", "annotate the cells")
    order = np.argsort(-counts, kind="stable")
    return {names[k]: float(counts[k] / counts.sum()) for k in order}
