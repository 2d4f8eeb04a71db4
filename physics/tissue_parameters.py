"""Conductivities, capacitance and surface of heart tissue, and what they make as a diffusivity."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from physics.parameters import Parameter, ParameterSet

_BENCHMARK = "Niederer et al. 2011, Phil Trans R Soc A 369, 4331, table 2, as in public programs of the benchmark; not read in print"

NIEDERER_2011 = ParameterSet(
    "Niederer2011",
    intracellular_along=Parameter(0.17, "S/m", (0.001, 10.0), _BENCHMARK),
    intracellular_across=Parameter(0.019, "S/m", (0.0001, 10.0), _BENCHMARK),
    extracellular_along=Parameter(0.62, "S/m", (0.001, 10.0), _BENCHMARK),
    extracellular_across=Parameter(0.24, "S/m", (0.001, 10.0), _BENCHMARK),
    surface_to_volume=Parameter(140.0, "1/mm", (10.0, 1000.0), _BENCHMARK),
    capacitance=Parameter(0.01, "uF/mm^2", (0.001, 0.1), _BENCHMARK),
    stimulus=Parameter(35.714285714285715, "A/F", (0.0, 1000.0), f"{_BENCHMARK}: 50000 uA/cm^3 over 140 /mm and 0.01 uF/mm^2"),
    stimulus_duration=Parameter(2.0, "ms", (0.0, 20.0), _BENCHMARK),
)


def monodomain_conductivity(intracellular: ArrayLike, extracellular: ArrayLike) -> Array:
    r"""$\sigma = \sigma_i\sigma_e/(\sigma_i+\sigma_e)$, along one principal axis; S/m in, S/m out.

    It makes the monodomain equal to the bidomain along that axis where no current is injected outside of the cells.
    """
    return 1 / (1 / jnp.asarray(intracellular) + 1 / jnp.asarray(extracellular))


def tissue_diffusivity(conductivity: ArrayLike, surface_to_volume: ArrayLike, capacitance: ArrayLike) -> Array:
    r"""$D = \sigma/(\chi C_m)$ in mm²/ms from $\sigma$ in S/m, $\chi$ in 1/mm and $C_m$ in uF/mm².

    1 S/m is 1 mS/mm, and mS/uF is 1/ms, so that no factor is left. 0.1334 S/m with 140 /mm and 0.01 uF/mm² is 0.0953 mm²/ms.
    """
    return jnp.asarray(conductivity) / (jnp.asarray(surface_to_volume) * jnp.asarray(capacitance))


def niederer_diffusivities() -> tuple[float, float]:
    """$D$ along and across the fibre of the benchmark, mm²/ms: 0.0953 and 0.0126."""
    p = {name: NIEDERER_2011[name].value for name in NIEDERER_2011}
    along = monodomain_conductivity(p["intracellular_along"], p["extracellular_along"])
    across = monodomain_conductivity(p["intracellular_across"], p["extracellular_across"])
    per = p["surface_to_volume"], p["capacitance"]
    return float(tissue_diffusivity(along, *per)), float(tissue_diffusivity(across, *per))
