"""A patient's record on coarser voxels, for a quick search before the fine calibration."""

from dataclasses import replace

import numpy as np

from twinsim.patient import PatientRecord, Scan
from twinsim.resampling import mask_from_fraction, resample_onto


def coarsened(record: PatientRecord, spacing_mm: float | tuple[float, float, float]) -> PatientRecord:
    """The record resampled conservatively; a mask too small for the coarse voxels is left out of its scan."""
    anatomy = record.anatomy.resampled(spacing_mm)

    def averaged(array: np.ndarray) -> np.ndarray:
        return np.asarray(resample_onto(array.astype(np.float32), record.anatomy.affine, anatomy.shape, anatomy.affine, 0.0))

    def scan(fine: Scan) -> Scan:
        masks = {name: mask_from_fraction(averaged(array)) for name, array in fine.volumes().items() if name != "cellularity"}
        core, oedema, trusted = (
            mask if mask is not None and mask.any() else None
            for mask in (masks.get(name) for name in ("enhancing_core", "oedema", "cellularity_mask"))
        )
        density = None
        if fine.cellularity is not None and (trusted is not None or fine.cellularity_mask is None):
            counted = np.ones(fine.cellularity.shape, bool) if fine.cellularity_mask is None else fine.cellularity_mask
            weight, total = averaged(counted), averaged(np.where(counted, fine.cellularity, 0))
            density = np.where(weight > 0, total / np.maximum(weight, 1e-6), 0).clip(0, 1).astype(np.float32)
        return Scan(
            day=fine.day,
            enhancing_core=core if core is None or oedema is None else core & oedema,
            oedema=oedema,
            cellularity=density,
            cellularity_noise=0.0 if density is None else fine.cellularity_noise,
            cellularity_mask=None if density is None else trusted,
        )

    dose_map = record.radiotherapy.dose_map
    radiotherapy = replace(record.radiotherapy, dose_map=None if dose_map is None else averaged(dose_map))
    return replace(record, anatomy=anatomy, scans=tuple(scan(fine) for fine in record.scans), radiotherapy=radiotherapy)
