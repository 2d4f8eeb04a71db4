"""What a reader of a glioma twin's calibration must know, in sentences."""

import numpy as np

from twinsim.gauss_newton import Optimum
from twinsim.glioma_region import abnormal
from twinsim.patient import PatientRecord
from twinsim.posterior import Posterior

MOST_TISSUE = 0.5
FAR_FROM_PRIOR = 2.0  # prior standard deviations: less is common among eleven parameters


def calibration_messages(record: PatientRecord, posterior: Posterior, optimum: Optimum) -> tuple[str, ...]:
    """What the data can't identify, what lies far from all that is known, and whether the search ended well."""
    found = []
    tissue = record.anatomy.mask
    full = [scan.day for scan in record.scans if (abnormal(scan) & tissue).sum() > MOST_TISSUE * tissue.sum()]
    if full:
        found.append(
            f"The abnormal region fills more than {MOST_TISSUE:.0%} of the tissue on day {', '.join(f'{day:g}' for day in full)}: there is "
            "little room left to see growth in; check the segmentation."
        )
    if not optimum.converged:
        found.append(
            f"The search stopped {optimum.gradient_norm:.2f} posterior standard deviations from the optimum: read intervals with care."
        )
    unknown = [p.name.replace("_", " ") for p in posterior.priors if posterior.identifiability(p.name) == "prior only"]
    if unknown:
        found.append("The scans say next to nothing about " + ", ".join(unknown) + ": their intervals are close to the prior's.")
    far = [(prior, float(z)) for prior, z in zip(posterior.priors, posterior.mean, strict=True) if abs(z) > FAR_FROM_PRIOR]
    if far:
        listed = ", ".join(
            f"{p.name.replace('_', ' ')} ({posterior.value(p.name):.3g} {p.unit}, {abs(z):.1f} {'above' if z > 0 else 'below'})"
            for p, z in far
        )
        found.append(f"Far from what is known, in prior standard deviations from its median: {listed}; doubt the data or the model.")
    width = float(np.sqrt(posterior.value("diffusivity_white") / posterior.value("proliferation")))
    if (voxel := max(record.anatomy.spacing_mm)) > width:
        found.append(
            f"Voxels of {voxel:.3g} mm do not resolve a front of width sqrt(D/rho) = {width:.2g} mm: diffusivity and volumes may be off by "
            "more than their intervals say; use a smaller --spacing-mm."
        )
    (wide, wide_spread), (narrow, narrow_spread) = posterior.combinations(("diffusivity_white", "proliferation"))
    if len(record.scans) == 1:
        found.append(
            "One scan cannot tell fast and slow growth apart: of diffusivity and proliferation only a combination is informed, "
            f"{narrow} ({narrow_spread:.0%} of its prior spread), not {wide} ({wide_spread:.0%})."
        )
    return tuple(found)
