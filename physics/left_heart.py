"""The left heart as a netlist that pumps into arteries in one dimension."""

from collections.abc import Mapping
from itertools import pairwise

import jax.numpy as jnp
from jax.typing import ArrayLike

from physics.circuit import Circuit
from physics.circuit_netlist import Block, assemble
from physics.closed_loop import REGAZZONI_2022
from physics.coupled_arteries import artery_end
from physics.parameters import Parameter, ParameterSet

CHAMBER_KEYS = ("active_elastance", "passive_elastance", "contraction_start", "contraction_time", "relaxation_time")
VALVE_STEEPNESS = 20.0
ROOT = "aortic_root"
"""Name of the port's block."""

_FILLING = "Klabunde (2021), Cardiovascular Physiology Concepts: pulmonary capillary wedge pressure 4 to 12 mmHg at rest"

LEFT_HEART = ParameterSet(
    "LeftHeart",
    period=REGAZZONI_2022["period"],
    pulmonary_venous_pressure=Parameter(10.0, "mmHg", (1.0, 40.0), _FILLING),
    pulmonary_venous_resistance=Parameter(0.05, "mmHg s/mL", (1e-3, 1.0), "a drop of 4 mmHg at 5 L/min, Klabunde (2021)"),
    **{
        f"{name}_{key}": REGAZZONI_2022[f"{name}_{key}"]
        for name in ("left_atrium", "left_ventricle")
        for key in (*CHAMBER_KEYS, "rest_volume")
    },
    valve_open_resistance=REGAZZONI_2022["valve_open_resistance"],
    valve_closed_resistance=REGAZZONI_2022["valve_closed_resistance"],
    valve_inertance=REGAZZONI_2022["valve_inertance"],
)
"""A healthy adult. Times are parts of the period; elastances as in :data:`physics.closed_loop.REGAZZONI_2022`."""


def left_heart_values() -> dict[str, float]:
    """The values of :data:`LEFT_HEART` by name, to be changed and given to :func:`left_heart`."""
    return {name: parameter.value for name, parameter in LEFT_HEART.items()}


def left_heart(values: Mapping[str, ArrayLike], step: float | None = None) -> Circuit:
    """Pulmonary veins, atrium, mitral valve, ventricle, aortic valve and the port ``aortic_root``: 16 unknowns.

    Args:
        values: Every name of :data:`LEFT_HEART`, known numbers; change them inside of jit by :func:`left_heart_parameters`.
        step: s, about the length of the steps; see :func:`physics.assemble`.

    Pressure of the veins and the resistance behind the chambers are given, so that the heart answers its load but not what comes back
    from the body: :func:`physics.closed_loop.closed_loop` has the whole loop.
    """
    named = left_heart_parameters(values)
    blocks = [
        Block("veins", "pressure_source", inputs={"pressure": values["pulmonary_venous_pressure"]}),
        Block("inflow", "vessel", {"resistance": named["inflow.resistance"]}),
        *(
            Block(name, "chamber", {key.split(".")[1]: value for key, value in named.items() if key.startswith(f"{name}.")})
            for name in ("left_atrium", "left_ventricle")
        ),
        *(
            Block(
                name, "valve", {"steepness": VALVE_STEEPNESS} | {k.split(".")[1]: v for k, v in named.items() if k.startswith(f"{name}.")}
            )
            for name in ("mitral", "aortic")
        ),
        Block(ROOT, "to_artery", artery_end(), {"outgoing": 0.0}),
    ]
    chain = ("veins", "inflow", "left_atrium", "mitral", "left_ventricle", "aortic", ROOT)
    return assemble(blocks, list(pairwise(chain)), values["period"], step)


def left_heart_parameters(values: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
    """The circuit's parameters, for :meth:`physics.Circuit.with_values`; may be traced."""
    period = values["period"]
    named: dict[str, ArrayLike] = {"inflow.resistance": values["pulmonary_venous_resistance"]}
    for name in ("left_atrium", "left_ventricle"):
        for key in CHAMBER_KEYS:
            value = values[f"{name}_{key}"]
            named[f"{name}.{key}"] = value if "elastance" in key else jnp.asarray(value) * period
        for key in ("diastolic_rest_volume", "systolic_rest_volume"):
            named[f"{name}.{key}"] = values[f"{name}_rest_volume"]
    for valve in ("mitral", "aortic"):
        named[f"{valve}.open_resistance"] = values["valve_open_resistance"]
        named[f"{valve}.closed_resistance"] = values["valve_closed_resistance"]
        named[f"{valve}.inertance"] = values["valve_inertance"]
    return named
