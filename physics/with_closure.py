"""An equation with a closure as one more term, stepped by the equation's own method at its own order."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from physics.closure import Closure
from physics.closure_term import ClosureTerm, Given
from physics.compartments import LoopState, StaggeredLoop
from physics.equation import Equation
from physics.neural_mass import Coupled, NeuralMass, Variables
from physics.state_layout import StateLayout
from solvers import HEUN, ExplicitRungeKutta, GatedRate, MarkovChain, Operator, RushLarsen, Stepper, Strang, Sum, VoxelGrid
from solvers.rate import as_rate
from solvers.shapes import Flag, Scalar
from solvers.steppers.rush_larsen import Stacked


class WithClosure(Equation):
    r"""$\dot u = f(u, t) + y(x)$: an equation as it is, and a closure on top (:class:`physics.ClosureTerm` says what it may do).

    To replace a term, set its parameter to zero (``proliferation`` of :class:`physics.ProliferationInvasion`) and add the closure. The
    equation's stepper stays, see :func:`with_term`. The gradient with respect to the closure's weights goes through the solver, so that
    ``twinsim.closures.train_unrolled`` trains it there.

    Attributes:
        equation: Any that has a ``state_layout``; one with a closure is such an equation, too.
        term: The closure in its place.

    Good values: steps that resolve the closure's own rates. Fails: a stiff closure, for it is stepped explicitly.
    """

    equation: Equation
    term: ClosureTerm

    @classmethod
    def of(
        cls,
        equation: Equation,
        closure: Closure,
        *,
        reads: tuple[str, ...],
        adds_to: tuple[str | tuple[str, str], ...],
        given: tuple[Given, ...] = (),
        grid: VoxelGrid | None = None,
        through: Operator | None = None,
        relative: bool = False,
        as_image: bool = False,
    ) -> "WithClosure":
        """An equation with a closure; arguments as of :meth:`physics.ClosureTerm.of`.

        Raises:
            ValueError: An equation that doesn't name its components, names or units that it doesn't have, no grid where it has voxels.
        """
        if not isinstance(equation, Equation):
            got = f"a {type(equation).__name__}"
            raise ValueError(
                f"got {got}; expected an Equation with a layout; do: write its rates as a RateEquation, or give the equation itself"
            )
        term = ClosureTerm.of(
            equation.state_layout(), closure, reads=reads, adds_to=adds_to, given=given, grid=grid, through=through, relative=relative,
            as_image=as_image,
        )  # fmt: skip
        return cls(equation, term)

    def stepper(self) -> Stepper:
        """The equation's own with the term."""
        return with_term(self.equation.stepper(), self.term)

    def state_layout(self) -> StateLayout:
        """The equation's."""
        return self.equation.state_layout()

    def examine(self, time: Scalar, state: Array) -> Int[Array, ""]:
        """Whether the closure is inside of its range, as data: ``simulate(..., observe=equation.examine)``."""
        return self.term.examine(time, state)


def with_term(stepper: Stepper, term: ClosureTerm) -> Stepper:
    """A stepper of the term's equation that takes the term, too; of the order that it had, or two where it is split.

    Explicit Runge-Kutta methods add it to their rates. Rush-Larsen steps add it to what they step explicitly, and a gate's target is
    shifted: $r(g_\\infty-g)+y=r\\bigl((g_\\infty+y/r)-g\\bigr)$. Closed loops of compartments take it between their volumes. All others
    are the whole step between two half steps of the term by Heun's method (Strang), a closure of zero then leaving them bit by bit.

    Args:
        stepper: E.g. ``cell.paced(stimulus)`` or ``monodomain.godunov()``; :meth:`WithClosure.stepper` takes the equation's default.
        term: The closure in its place.

    Raises:
        ValueError: A term on the flows of a closed loop, or on channel states of a cell (when it is stepped).
    """
    if isinstance(stepper, ExplicitRungeKutta):
        return ExplicitRungeKutta(Sum((as_rate(stepper.rate), term)), stepper.table)
    if isinstance(stepper, RushLarsen):
        return RushLarsen(GatedWithTerm(stepper.rate, term), stepper.accuracy)
    if isinstance(stepper, StaggeredLoop):
        return LoopWithTerm(stepper, term)
    return Strang(ExplicitRungeKutta(term, HEUN), stepper)


class GatedWithTerm(GatedRate):
    """Cells with a term on components that are stepped explicitly, or on gates."""

    cells: GatedRate
    term: ClosureTerm

    def evaluate(self, state: Stacked, time: Scalar) -> tuple[Array, Array, Array]:
        """See :class:`solvers.GatedRate`."""
        others, steady, speed = self.cells.evaluate(state, time)
        first = state.shape[0] - steady.shape[0]
        names = self.term.layout.names[others.shape[0] : first]
        touched = {end for target in self.term.adds_to for end in ((target,) if isinstance(target, str) else target)}
        if touched & set(names):
            got = " and ".join(sorted(touched & set(names)))
            raise ValueError(f"got a closure on {got}; expected no channel states, whose shares sum to one; do: add to a current or a gate")
        added = self.term.evaluate(state, time)
        return others + added[: others.shape[0]], steady + added[first:] / speed, speed

    def chain(self, state: Stacked, time: Scalar) -> MarkovChain | None:
        """See :class:`solvers.GatedRate`."""
        return self.cells.chain(state, time)

    def spectral_bound(self) -> Scalar:
        """Of the cells."""
        return self.cells.spectral_bound()


class LoopWithTerm(Stepper):
    r"""A closed loop whose volumes have one more rate $y$: $V_{n+1} = V_n + h\sum\pm Q_{n+1/2} + h\,y$, $y$ at the middle of the step.

    A split step would be of order one: flows stand half a step before the volumes, so that a half step of the term would be felt by them
    too early. An exchange keeps the sum of all volumes to round-off.
    """

    loop: StaggeredLoop
    term: ClosureTerm

    def __check_init__(self) -> None:
        for target in self.term.adds_to:
            for end in (target,) if isinstance(target, str) else target:
                if end in self.loop.loop.flows:
                    raise ValueError(f"got a closure on the flow {end}; expected volumes; do: exchange between the ends of its branch")

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def advance(self, state: LoopState, time: Scalar, length: Scalar) -> LoopState:
        """See :class:`solvers.Stepper`."""
        after = self.loop.advance(state, time, length)
        count, seconds = len(self.loop.loop.names), length * self.loop.clock(time)[1]
        between = jnp.concatenate([(state[:count] + after[:count]) / 2, after[count:]])
        half = time + length / 2
        slope = self.term.evaluate(between, half)
        return after + seconds * self.term.evaluate(between + seconds / 2 * slope, half)

    def stable(self, length: Scalar) -> Flag:
        """The loop's."""
        return self.loop.stable(length)


class NeuralMassWithClosure(NeuralMass):
    r"""$\dot s = F(s, c) + y(x)$: a mass that :class:`physics.BrainNetwork` takes as any other, with delays and noise.

    Places of the closure are regions, then members: a graph network over the connectome stands in it as a law of each region does.

    Attributes:
        mass: As it is.
        term: ``ClosureTerm.of(mass.state_layout(), ...)``.
    """

    mass: NeuralMass
    term: ClosureTerm

    @property
    def names(self) -> tuple[str, ...]:
        """The mass's."""
        return self.mass.names

    @property
    def units(self) -> tuple[str, ...]:
        """The mass's."""
        return self.mass.units

    @property
    def coupled(self) -> tuple[str, ...]:
        """The mass's."""
        return self.mass.coupled

    def initial_state(self) -> Float[Array, " variables"]:
        """The mass's."""
        return self.mass.initial_state()

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        return self.mass.rates(state, coupling) + self.term.evaluate(state, jnp.zeros((), state.dtype))

    def heard(self, state: Variables) -> Coupled:
        """The mass's."""
        return self.mass.heard(state)

    def clipped(self, state: Variables) -> Variables:
        """The mass's."""
        return self.mass.clipped(state)
