"""How many planes along x a step or an operator looks to either side: what the halo of a slab must hold."""

from typing import Any

from solvers.operator import Operator
from solvers.rate import Affine, Sum
from solvers.space.advection import Advection
from solvers.space.diffusion import Diffusion
from solvers.space.edge_diffusion import EdgeDiffusion
from solvers.space.lattice_diffusion import LatticeDiffusion
from solvers.space.mass import BlendedDiffusion
from solvers.space.monotone_diffusion import MonotoneDiffusion
from solvers.space.stacked import OnComponents, PerComponent
from solvers.space.tensor_diffusion import TensorDiffusion
from solvers.steppers.blocked_diffusion import BlockedDiffusion
from solvers.steppers.compensated import Compensated
from solvers.steppers.exact_flow import ExactFlow
from solvers.steppers.explicit_runge_kutta import ExplicitRungeKutta
from solvers.steppers.runge_kutta_chebyshev import RungeKuttaChebyshev2
from solvers.steppers.splitting import Lie, Richardson, Substeps
from solvers.steppers.strang import Strang


def planes_needed(part: Any) -> int:
    """Applications per call times the reach of the operator, from what ``part`` is made of; at least what is needed.

    Operators, rates and steppers of one's own say theirs in an attribute ``halo_reach``, planes along x per application or step.

    Raises:
        ValueError: A part whose reach is the whole field (implicit solves, transforms, periodic axes) or is not known.
    """
    declared = getattr(part, "halo_reach", None)
    if declared is not None:
        return int(declared)
    if isinstance(part, Operator | Advection | Affine | Sum):
        return _of_right_hand_side(part)
    match part:
        case ExactFlow():
            return 0
        case ExplicitRungeKutta():
            return len(part.table.b) * planes_needed(part.rate)
        case RungeKuttaChebyshev2():
            return part.stages * planes_needed(part.operator)
        case BlockedDiffusion():
            return part.substeps * planes_needed(part.operator)
        case Substeps():
            return part.count * planes_needed(part.stepper)
        case Lie():
            return sum(planes_needed(each) for each in part.parts)
        case Strang():
            return 2 * planes_needed(part.half) + planes_needed(part.full)
        case Richardson():
            return 2 * planes_needed(part.base)
        case OnComponents():
            return planes_needed(part.stepper)
        case Compensated():
            return planes_needed(part.inner)
        case _:
            raise _unknown(part, "whose reach along x is the whole field or is not known")


def _of_right_hand_side(part: Any) -> int:
    if any(getattr(part, "periodic", ())) or getattr(part, "wraps", None) is not None:
        raise _unknown(part, "with a periodic axis")
    match part:
        case Affine():
            return planes_needed(part.operator)
        case Sum():
            return max(planes_needed(each) for each in part.parts)
        case PerComponent():
            return planes_needed(part.operator)
        case Advection():
            return 1 if part.limiter == "upwind" else 2
        case Diffusion():
            return 1 if part.correction is None else 2
        case TensorDiffusion():
            return 2
        case EdgeDiffusion() | BlendedDiffusion():  # between neighbours, diagonal ones included
            return 1
        case MonotoneDiffusion():
            return max((abs(direction[0]) for direction in part.directions), default=0)
        case LatticeDiffusion():
            return 2 * planes_needed(part.base)
        case _:
            raise _unknown(part, "whose reach along x is the whole field or is not known")


def _unknown(part: Any, why: str) -> ValueError:
    return ValueError(
        f"got {type(part).__name__} {why}; expected stencils and explicit steps on them; "
        "do: divide its operator alone, give a class of your own its halo_reach, or use one device"
    )
