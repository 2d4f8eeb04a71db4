"""Arteries from the aortic root to the fingers of the left hand, the rest of the body as windkessels."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from physics.artery_cycles import PASCAL_PER_MMHG
from physics.artery_network import ArteryNetwork
from physics.coupled_arteries import ML_PER_M3

ROOT_NODE = 1
FINGER, BRACHIAL, AORTA = "digital_2", "brachial", "ascending_aorta"
"""Vessels that are looked at."""

WALL_2015 = (3.0e5, -900.0, 3.37e4)
"""k1 (Pa), k2 (1/m), k3 (Pa) of the walls."""


class Segment(NamedTuple):
    """One vessel: nodes, length and radii in m, and the share of the body's flow that its windkessel takes; 0 where it goes on."""

    name: str
    source: int
    target: int
    length: float
    start: float
    end: float
    share: float = 0.0


SEGMENTS = (
    Segment("ascending_aorta", 1, 2, 0.060, 0.018206, 0.018004),
    Segment("aortic_arch_1", 2, 3, 0.020, 0.015799, 0.015799),
    Segment("brachiocephalic", 2, 4, 0.034, 0.008561, 0.008561, 0.14),
    Segment("aortic_arch_2", 3, 5, 0.039, 0.015187, 0.015187),
    Segment("left_carotid", 3, 6, 0.139, 0.004532, 0.003950, 0.08),
    Segment("thoracic_aorta_1", 5, 7, 0.052, 0.013472, 0.012235),
    Segment("thoracic_aorta_2", 7, 8, 0.104, 0.010655, 0.008696),
    Segment("coeliac", 8, 9, 0.020, 0.004654, 0.004654, 0.25),
    Segment("abdominal_aorta", 8, 10, 0.189, 0.007471, 0.006124, 0.485),
    Segment("subclavian", 5, 11, 0.034, 0.006736, 0.006124),
    Segment("vertebral", 11, 12, 0.148, 0.002266, 0.001715, 0.015),
    Segment("brachial", 11, 13, 0.422, 0.005695, 0.002890),
    Segment("radial", 13, 14, 0.245, 0.001592, 0.001310),
    Segment("ulnar_1", 13, 15, 0.067, 0.002633, 0.002633),
    Segment("interosseous", 15, 16, 0.079, 0.001115, 0.001115, 0.010),
    Segment("ulnar_2", 15, 14, 0.181, 0.002449, 0.002241),
    Segment("digital_2", 14, 17, 0.030, 0.001531, 0.001531, 0.013),
    Segment("digital_3", 14, 18, 0.030, 0.000998, 0.000998, 0.007),
)
"""Lengths and radii of the 116-artery model of Charlton et al. (2019), its table of the left arm and the aorta. Put together here: the
pieces of the abdominal aorta, and the superficial palmar arch (three pieces of 1 cm) as the node where radial and ulnar artery meet;
left out: the deep palmar arch with its two digital arteries. Shares: the organs' flow at rest of Guyton and Hall, Textbook of Medical
Physiology, rounded; kidneys, pelvis and legs behind the abdominal aorta."""


def place_of(name: str) -> int:
    """Row of a vessel."""
    return [segment.name for segment in SEGMENTS].index(name)


def arm_network(
    resistance: ArrayLike = 1.1,
    compliance: ArrayLike = 0.6,
    stiffness: ArrayLike = 1.0,
    diastolic_pressure: ArrayLike = 80.0,
    venous_pressure: ArrayLike = 5.0,
    wall_viscosity: ArrayLike | None = None,
    cell: float = 0.01,
) -> ArteryNetwork:
    r"""The network without an inlet: a heart pumps into :data:`ROOT_NODE` (:func:`physics.couple`). Arguments may be traced but ``cell``.

    Walls: $Eh = R\,(k_1e^{k_2R} + k_3)$ at the mean radius of each vessel, times ``stiffness``; radii hold at the diastolic pressure.

    Args:
        resistance: Of the whole periphery, mmHg s/mL; each end has it over its share of the flow. 0.8 to 1.5 in adults.
        compliance: Of all windkessels together, mL/mmHg, split by the same shares; beyond that of the vessels, about 1.1 here.
        stiffness: Factor on all walls; 1 is a young adult, 2 to 3 an old one.
        diastolic_pressure: Where the radii hold, mmHg.
        venous_pressure: Behind the windkessels, mmHg.
        wall_viscosity: Kelvin-Voigt viscosity, kg/s, of every vessel; None for elastic walls. See :func:`physics.wall_viscosity`.
        cell: Longest cell, m; three per vessel at least.

    Proximal resistances are the vessels' impedances. Waves travel at 4.6 m/s in the aorta and 6 to 10 m/s along the arm. It fails where
    the lower body's reflections matter: they come from one end at the iliac bifurcation.
    Source: Charlton, Mariscal Harana, Vennin, Li, Chowienczyk, Alastruey (2019), Am. J. Physiol. Heart Circ. Physiol. 317, H1062 (geometry,
    the form of the walls); Mynard, Smolich (2015), Ann. Biomed. Eng. 43, 1443 (k1 to k3); the hand: its "Alastruey 2006
    model 2".
    """
    count = len(SEGMENTS)
    start, end = (np.array([getattr(segment, key) for segment in SEGMENTS]) for key in ("start", "end"))
    length, share = (np.array([getattr(segment, key) for segment in SEGMENTS]) for key in ("length", "share"))
    mean, ends = 0.5 * (start + end), share > 0
    k1, k2, k3 = WALL_2015
    thickness = 0.1 * mean
    modulus = mean * (k1 * np.exp(k2 * mean) + k3) / thickness
    per_share = np.where(ends, share, 1.0)

    def every(value: ArrayLike) -> jnp.ndarray:
        return jnp.broadcast_to(jnp.asarray(value, float), (count,))

    total = jnp.asarray(resistance) * (PASCAL_PER_MMHG * ML_PER_M3)
    pressure = every(jnp.asarray(diastolic_pressure, float) * PASCAL_PER_MMHG)
    return ArteryNetwork(
        labels=tuple(segment.name for segment in SEGMENTS),
        cells=tuple(max(3, int(np.ceil(segment.length / cell - 1e-9))) for segment in SEGMENTS),
        source=tuple(segment.source for segment in SEGMENTS),
        target=tuple(segment.target for segment in SEGMENTS),
        length=every(length),
        youngs_modulus=every(modulus) * stiffness,
        radius_start=every(start),
        radius_end=every(end),
        thickness=every(thickness),
        external_pressure=pressure,
        profile=every(9.0),
        correction=None,
        proximal=every(0.0),
        distal=jnp.where(ends, total / per_share, 0.0),
        compliance=jnp.asarray(compliance) * (share / (PASCAL_PER_MMHG * ML_PER_M3)),
        downstream=every(jnp.asarray(venous_pressure, float) * PASCAL_PER_MMHG),
        reflection=every(0.0),
        outlet=tuple("matched" if segment.share > 0 else "" for segment in SEGMENTS),
        inlet_times=jnp.linspace(0.0, 1.0, 2),
        inlet_flow=jnp.zeros((0, 2)),
        inlet_nodes=(),
        density=jnp.asarray(1060.0),
        viscosity=jnp.asarray(2.5e-3),
        initial_velocity=every(0.0),
        initial_pressure=pressure,
        thickness_given=(True,) * count,
        continuous="total",
        wall_viscosity=None if wall_viscosity is None else every(wall_viscosity),
    )
