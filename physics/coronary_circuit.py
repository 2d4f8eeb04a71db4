"""The coronary tree over a beat: a circuit of vessels with stenoses, and beds that the heart muscle squeezes."""

from collections.abc import Mapping

from jaxtyping import Array, Float

from physics.circuit import Circuit
from physics.circuit_netlist import Block, assemble
from physics.circuit_waveform import Waveform
from physics.coronary_tree import CoronaryTree

BED_RESISTANCE = {"arterial_resistance": 0.32, "micro_resistance": 0.52, "venous_resistance": 0.16}
"""Parts of a bed's resistance, Sankaran et al. (2012), Ann. Biomed. Eng. 40, 2228."""
BED_COMPLIANCE = {"arterial_compliance": 0.11, "intramyocardial_compliance": 0.89}
"""Parts of a bed's compliance, the same."""


def coronary_circuit(
    tree: CoronaryTree,
    beds: Float[Array, " outlets"],
    compliances: Float[Array, " outlets"],
    aorta: Waveform,
    muscle: Mapping[str, Waveform],
    venous: float,
    period: float,
) -> Circuit:
    r"""A circuit with a ``vessel`` per segment and a ``coronary`` end per outlet; solve it by :func:`physics.periodic_run`.

    Segments have resistance, stenosis loss and inertance; all compliance is in the beds, whose second part stands on the pressure of the
    muscle. The mean pressure falls more than in steady flow of the same mean, since the mean of $|Q|Q$ is more than the square of the mean.

    Args:
        tree: The arteries; known numbers.
        beds: mmHg s/mL, whole resistance of each outlet's bed.
        compliances: mL/mmHg, whole compliance of each outlet's bed.
        aorta: mmHg, over the period.
        muscle: mmHg, intramyocardial pressure by outlet.
        venous: mmHg.
        period: s.

    Unknowns of interest: ``pressure:{segment}:{next}``, where next is ``{segment}_fork`` or ``{segment}_bed``; see
    :func:`end_of_segment`.
    """
    resistance, jet = tree.losses()
    inertance = tree.inertance()
    blocks = [Block("aorta", "pressure_source", {}, {"pressure": aorta})]
    links: list[tuple[str, str]] = []
    roots = [i for i, parent in enumerate(tree.parents) if parent < 0]
    above = {-1: "aorta"}
    if len(roots) > 1:
        blocks.append(Block("ostia", "junction"))
        links.append(("aorta", "ostia"))
        above[-1] = "ostia"
    for i, name in enumerate(tree.names):
        blocks.append(Block(name, "vessel", {"resistance": resistance[i], "inertance": inertance[i], "stenosis": jet[i]}))
        links.append((above[tree.parents[i]], name))
        children = tree.parents.count(i)
        above[i] = name
        if children > 1:
            blocks.append(Block(f"{name}_fork", "junction"))
            links.append((name, f"{name}_fork"))
            above[i] = f"{name}_fork"
    for k, i in enumerate(tree.outlets):
        name = tree.names[i]
        values = {key: part * beds[k] for key, part in BED_RESISTANCE.items()}
        values |= {key: part * compliances[k] for key, part in BED_COMPLIANCE.items()}
        blocks.append(Block(f"{name}_bed", "coronary", values, {"intramyocardial_pressure": muscle[name], "venous_pressure": venous}))
        links.append((name, f"{name}_bed"))
    return assemble(blocks, links, period)


def end_of_segment(circuit: Circuit, name: str) -> int:
    """Place of the pressure at the end of a segment among the unknowns."""
    return next(i for i, unknown in enumerate(circuit.names) if unknown.startswith(f"pressure:{name}:"))
