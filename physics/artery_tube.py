"""One straight artery of known wave speed, with what is needed to judge methods that measure it."""

from jax import numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.artery_network import ArteryNetwork
from physics.wave_speed import modulus_of_speed

EJECTION_S = 0.3


def ejection(times: Float[Array, " times"], duration: float = EJECTION_S) -> Float[Array, " times"]:
    r"""A pulse of flow of height one, $x^2(1-x)^3$ over its value at 0.4, with $x$ the part of ``duration`` (s) that has passed: it peaks
    after two fifths, as flow in the aorta does, has no corner, and is zero afterwards.
    """
    x = jnp.clip(times / duration, 0, 1)
    return x**2 * (1 - x) ** 3 / (0.4**2 * 0.6**3)


def artery_tube(
    length: float,
    speed: ArrayLike,
    period: float,
    cells: int,
    reflection: ArrayLike = 0.0,
    peak_velocity: ArrayLike = 0.8,
    radius: float = 9e-3,
    pressure: float = 10_000.0,
    density: float = 1060.0,
    viscosity: float = 4e-3,
    times: int = 401,
) -> ArteryNetwork:
    """A uniform tube that a pulse of flow enters once in a period.

    The tube is at rest at the diastolic pressure, so that ``speed`` is that of a small wave then; where blood still moves at the foot its
    velocity adds.

    Args:
        length: m.
        speed: Of waves at rest, m/s.
        period: s.
        cells: At least three; 150 or more per metre of wavelength that is to be kept.
        reflection: Coefficient of the far end; zero for a tube without end.
        peak_velocity: Of the blood that enters, m/s.
        radius: At rest, m.
        pressure: Diastolic, Pa.
        density: kg/m³.
        viscosity: Pa s; with a nearly flat profile (exponent nine).
        times: Points of the inlet's flow.
    """
    one = jnp.ones(1)
    moments = jnp.linspace(0.0, period, times)
    thickness = 0.1 * radius
    return ArteryNetwork(
        labels=("tube",),
        cells=(cells,),
        source=(1,),
        target=(2,),
        length=length * one,
        youngs_modulus=modulus_of_speed(speed, density, radius, thickness) * one,
        radius_start=radius * one,
        radius_end=radius * one,
        thickness=thickness * one,
        external_pressure=pressure * one,
        profile=9 * one,
        correction=None,
        proximal=0 * one,
        distal=0 * one,
        compliance=0 * one,
        downstream=0 * one,
        reflection=jnp.asarray(reflection) * one,
        outlet=("reflection",),
        inlet_times=moments,
        inlet_flow=(jnp.pi * radius**2 * jnp.asarray(peak_velocity) * ejection(moments))[None],
        inlet_nodes=(1,),
        density=jnp.asarray(density),
        viscosity=jnp.asarray(viscosity),
        initial_velocity=0 * one,
        initial_pressure=pressure * one,
        thickness_given=(True,),
    )
