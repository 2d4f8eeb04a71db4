"""A closure as a term in the right-hand side of any equation: what it reads, what it adds to, and what it must keep."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from physics.closure import Closure, Variable, check_closure
from physics.state_layout import StateLayout, unknown
from solvers import Operator, Rate, Status, VoxelGrid
from solvers.shapes import Scalar, State


class Given(eqx.Module):
    """Something that a closure reads and that is no component of the state: a parameter, a field, a concentration over time.

    Args:
        variable: Name and unit.
        value: One number, one per place, or a function (an Equinox module where it has parameters) of time that gives such.
    """

    variable: Variable = eqx.field(static=True)
    value: Array | float | Callable[[Scalar], Array]

    def __check_init__(self) -> None:
        if not isinstance(self.variable, Variable):
            raise ValueError(f'got {self.variable!r} as what is given; expected a Variable; do: give Variable("oxygen", "mmHg") or alike')
        if self.value is None or isinstance(self.value, str):
            got = f"{self.variable.name} of {self.value!r}"
            raise ValueError(f"got {got}; expected a number, an array or a function of time; do: give one of these")

    def at(self, time: Scalar) -> Array:
        """At a time."""
        return jnp.asarray(self.value(time) if callable(self.value) else self.value)


class ClosureTerm(Rate):
    r"""$\dot u_i \mathrel{+}= y_k(x)$ for a closure $y$ of what it reads, $x$: components of the state, things given, the time.

    Every output of the closure goes to one target of ``adds_to``:

    - ``"drug"``: it is a rate of this component, ``Variable("drug_rate", "mg/L/h")``;
    - ``("gut", "plasma")``: it is taken from the first and given to the second, so that their sum is kept to round-off,
      ``Variable("gut_to_plasma_rate", ...)``;
    - with ``through``, an operator $L$: the rate is $L\,y$, so that the sum over places is kept to round-off and nothing leaves the mask:
      a flux $-D\nabla y$ for ``Diffusion``. $y$ is then in the unit of the component, ``Variable("density_potential", "1")``.

    With ``relative`` every rate is $u_i\,y$ (of an exchange, $u$ of the component that gives), of
    ``Variable("density_relative_rate", "1/day")``: where there is nothing nothing comes up, and what is positive stays so for steps
    below one over the largest loss.

    Outside of the grid's mask the term is zero. Bounds on the outputs are :class:`physics.BoundedClosure`'s.

    Args:
        closure: Of any kind: formula, network, operator, Gaussian process, sparse law.
        given: What it reads beyond the state.
        active: Cells inside of the mask; None for everywhere.
        through: $L$; None where outputs are rates.
        layout: Of the state.
        reads: Names, in the order of the closure's inputs.
        adds_to: Targets, in the order of its outputs.
        relative: Whether outputs are rates relative to the component.
        image: Shape in which the last axis is shown to a closure that sees neighbours (:class:`twinsim.closures.OperatorClosure`).

    Raises:
        ValueError: Names or units that the equation doesn't have, or a closure with a weight that is not finite.
    """

    closure: Closure
    given: tuple[Given, ...]
    active: Bool[Array, " cells"] | None
    through: Operator | None
    layout: StateLayout = eqx.field(static=True)
    reads: tuple[str, ...] = eqx.field(static=True)
    adds_to: tuple[str | tuple[str, str], ...] = eqx.field(static=True)
    relative: bool = eqx.field(static=True, default=False)
    image: tuple[int, ...] | None = eqx.field(static=True, default=None)

    @classmethod
    def of(
        cls,
        layout: StateLayout,
        closure: Closure,
        *,
        reads: tuple[str, ...],
        adds_to: tuple[str | tuple[str, str], ...],
        given: tuple[Given, ...] = (),
        grid: VoxelGrid | None = None,
        through: Operator | None = None,
        relative: bool = False,
        as_image: bool = False,
    ) -> "ClosureTerm":
        """The term of an equation.

        Args:
            layout: ``equation.state_layout()``.
            closure: See the class, as all that is not named here.
            reads: See the class.
            adds_to: See the class.
            given: See the class.
            grid: The voxels, where the equation has any: nothing is added outside of its mask.
            through: See the class.
            relative: See the class.
            as_image: Whether the closure is shown the grid's box (without axes of one voxel) and not a list of cells.

        Raises:
            ValueError: As the class; no grid for an equation on voxels, or one of another shape.

        Fails: a grid of the equation's shape with another mask; only the shape is compared.
        """
        if grid is not None and not isinstance(grid, VoxelGrid):
            raise ValueError(f"got grid of type {type(grid).__name__}; expected a VoxelGrid; do: give the one that the equation has")
        if layout.box is not None and (grid is None or grid.shape != layout.box):
            got = "no grid" if grid is None else f"a grid of {grid.shape}"
            raise ValueError(f"got {got}; expected the voxels of the equation, {layout.box}; do: give grid=, so that its mask is kept")
        if as_image and grid is None:
            raise ValueError("got as_image without a grid; expected the box to show; do: give grid=, or leave as_image out")
        image = tuple(n for n in grid.shape if n > 1) if as_image and grid is not None else None
        active = None if grid is None else grid.mask.reshape(-1)
        return cls(closure, given, active, through, layout, reads, adds_to, relative, image)

    def __check_init__(self) -> None:
        if not isinstance(self.closure, Closure):
            raise ValueError(f"got a {type(self.closure).__name__}; expected a Closure; do: wrap a function in AnalyticClosure")
        for what, names in (("reads", self.reads), ("adds_to", self.adds_to)):
            if isinstance(names, str):
                raise ValueError(f"got {what}={names!r}; expected a tuple of names; do: give ({names!r},)")
            if not isinstance(names, tuple | list) or not all(_named(one, what == "adds_to") for one in names):
                raise ValueError(f"got {what}={names!r}; expected a tuple of names; do: name components as the equation does")
        if not isinstance(self.given, tuple | list) or not all(isinstance(one, Given) for one in self.given):
            got = f"given of type {type(self.given).__name__}"
            raise ValueError(f"got {got}; expected a tuple of Given; do: give (Given(variable, value),)")
        if self.through is not None and not isinstance(self.through, Operator):
            raise ValueError(f"got through of type {type(self.through).__name__}; expected an Operator; do: give e.g. Diffusion(grid, ...)")
        if self.image is None and self.layout.box is not None and sum(n > 1 for n in self.layout.box) > 1 and _sees_images(self.closure):
            raise ValueError("got an operator to be shown a list of cells; expected one to be shown the box; do: give as_image=True")
        everything = (*self.layout.variables, *self.layout.clock, *(given.variable for given in self.given))
        known = {one.name: one for one in everything}
        if len(known) < len(everything):
            twice = next(one.name for one in everything if [other.name for other in everything].count(one.name) > 1)
            raise ValueError(f"got {twice} twice among what can be read; expected different names; do: rename what is given")
        for name in self.reads:
            if name not in known:
                raise ValueError(unknown(name, tuple(known), "a component of the state or something given"))
        outputs = tuple(self.layout.rate_variable(target, self.relative) for target in self.adds_to)
        if self.through is not None:
            places = [self.layout.variables[self.layout.place(target)] for target in self.adds_to if isinstance(target, str)]
            if len(places) < len(self.adds_to) or self.relative:
                got = "relative rates" if self.relative else "an exchange"
                raise ValueError(f"got {got} through an operator; expected one or the other; do: leave through or the other out")
            outputs = tuple(Variable(f"{one.name}_potential", one.unit) for one in places)
        check_closure(self.closure, tuple(known[name] for name in self.reads), outputs)
        # Parameters of a formula may be plain numbers, too.
        for leaf in jax.tree.leaves(self.closure):
            if (
                (isinstance(leaf, float) or eqx.is_inexact_array(leaf))
                and not isinstance(leaf, Tracer)
                and not np.isfinite(np.asarray(leaf)).all()
            ):
                raise ValueError("got a closure with a weight that is not finite; expected numbers; do: train it again, or load a good one")
        for one in self.given:
            if not (callable(one.value) or any(isinstance(part, Tracer) for part in jax.tree.leaves((one.value, self.active)))):
                value, active = np.asarray(one.value), None if self.active is None else np.asarray(self.active)
                kept = value[..., active] if active is not None and value.shape[-1:] == active.shape else value
                if one.variable.name in self.reads and not np.isfinite(kept).all():
                    got = f"{one.variable.name} that is not finite{'' if active is None else ' inside of the mask'}"
                    raise ValueError(f"got {got}; expected numbers; do: fill what is missing, or mask it out")

    def values(self, state: Array, time: Scalar) -> Float[Array, "inputs *places"]:
        """What the closure is handed over."""
        stacked, names = self.layout.stacked, self.layout.names
        if stacked and state.shape[:1] != (len(names),):
            got = f"a state of shape {state.shape}"
            raise ValueError(f"got {got}; expected {len(names)} components along the first axis; do: stack {', '.join(names)}")
        places = state.shape[1:] if stacked else state.shape
        if self.active is not None and places[-1:] != self.active.shape:
            got = f"a state of shape {state.shape}"
            raise ValueError(f"got {got}; expected {self.active.size} cells along the last axis; do: use grid.cells(volume)")
        given = {one.variable.name: one for one in self.given}
        parts = []
        for name in self.reads:
            if name in given:
                part = given[name].at(time)
            elif name in names:
                part = state[names.index(name)] if stacked else state
            else:
                part = time
            behind = places[len(places) - part.ndim :]
            if part.ndim > len(places) or any(own not in (1, n) for own, n in zip(part.shape, behind, strict=True)):
                raise ValueError(f"got {name} of shape {part.shape}; expected {places} or less; do: give one number, or one per place")
            parts.append(jnp.broadcast_to(part.astype(state.dtype), places))
        values = jnp.stack(parts) if parts else jnp.zeros((0, *places), state.dtype)
        if self.active is not None:
            # Images hold anything outside of the mask, where a law may have no value: its derivative would be NaN although it adds zero.
            safe = 0 if self.image is not None else jnp.broadcast_to(values[..., jnp.argmax(self.active)][..., None], values.shape)
            values = jnp.where(jnp.broadcast_to(self.active, values.shape), values, safe)
        return values if self.image is None else values.reshape(*values.shape[:-1], *self.image)

    def evaluate(self, state: Array, time: Scalar) -> State:
        """See :class:`solvers.Rate`."""
        values = self.values(state, time)
        found = self.closure(values)
        wanted = (len(self.adds_to), *values.shape[1:])
        if not hasattr(found, "shape") or jnp.iscomplexobj(found):
            got = f"a closure that gives {'complex numbers' if hasattr(found, 'shape') else f'a {type(found).__name__}'}"
            raise ValueError(f"got {got}; expected a real array of shape {wanted}; do: give one row per output, places as they came")
        if found.shape != wanted:
            got = f"a closure that gives an array of shape {found.shape}"
            raise ValueError(f"got {got}; expected {wanted}; do: give one row per output, places as they came")
        places = state.shape[1:] if self.layout.stacked else state.shape
        found = found.reshape(len(self.adds_to), *places).astype(state.dtype)
        if self.through is not None:
            found = self.through.apply(found)
        if self.active is not None:
            found = jnp.where(jnp.broadcast_to(self.active, found.shape), found, 0)
        rows = dict.fromkeys(range(len(self.layout.names)), jnp.zeros(places, state.dtype))
        for target, row in zip(self.adds_to, found, strict=True):
            ends = (target,) if isinstance(target, str) else target
            if self.relative:
                row = row * (state[self.layout.place(ends[0])] if self.layout.stacked else state)
            rows[self.layout.place(ends[-1])] += row
            if len(ends) == 2:
                rows[self.layout.place(ends[0])] -= row
        return jnp.stack(list(rows.values())) if self.layout.stacked else rows[0]

    def examine(self, time: Scalar, state: Array) -> Int[Array, ""]:
        """``Status.EXTRAPOLATED`` where the closure is asked beyond its range at any place of the mask: for ``simulate(observe=...)``."""
        code = self.closure.examine(self.values(state, jnp.asarray(time)))
        code = code.reshape(state.shape[1:] if self.layout.stacked else state.shape)
        if self.active is not None:
            code = jnp.where(jnp.broadcast_to(self.active, code.shape), code, int(Status.SUCCESS))
        return jnp.max(code)


def _named(target: object, pairs: bool) -> bool:
    return isinstance(target, str) or (pairs and isinstance(target, tuple | list) and all(isinstance(end, str) for end in target))


def _sees_images(closure: Closure) -> bool:
    """Whether a closure is an operator, or one with bounds, ranges or others around it."""
    found: list[bool] = []
    jax.tree.leaves(closure, is_leaf=lambda node: bool(found.append(getattr(node, "sees_images", False))))
    return any(found)
