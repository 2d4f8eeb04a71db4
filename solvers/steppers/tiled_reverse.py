"""Derivatives of a step of cells that need nothing of each other, tile after tile in both modes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array


@dataclass(frozen=True)
class Tiles:
    """How cells are cut: so many at a time, on each device of a mesh."""

    size: int
    mesh: Mesh | None


@dataclass(frozen=True)
class Step:
    """One step as a function of its arrays: those of the stepper, then state, time and length.

    Attributes:
        structure: Of stepper, state, time and length, a None counted as a leaf.
        constants: The leaves; None in the place of an array.
        arrays: Which leaves are arrays.
        moving: Which of the arrays have a tangent.
        tiles: How the cells are cut.
    """

    structure: Any
    constants: tuple[Any, ...]
    arrays: tuple[bool, ...]
    moving: tuple[bool, ...]
    tiles: Tiles

    def __call__(self, given: Sequence[Array], moved: Sequence[Array]) -> Array:
        """The state after the step from all arrays, the moving ones replaced."""
        replaced = iter(moved)
        arrays = iter([next(replaced) if moving else array for array, moving in zip(given, self.moving, strict=True)])
        leaves = [next(arrays) if is_array else leaf for leaf, is_array in zip(self.constants, self.arrays, strict=True)]
        stepper, state, time, length = jax.tree.unflatten(self.structure, leaves)
        return stepper.advance(state, time, length)

    def split(self, operands: Sequence[Any]) -> tuple[Sequence[Any], tuple[Any, ...], tuple[Any, ...]]:
        """All arrays, the moving ones among them, and what comes behind."""
        given, others = operands[: len(self.moving)], operands[len(self.moving) :]
        return given, tuple(array for array, moving in zip(given, self.moving, strict=True) if moving), tuple(others)

    def cells(self, operands: Sequence[Any]) -> int:
        """How many cells the state has."""
        return operands[len(self.moving) - 3].shape[-1]


def step_tangent(primals: tuple[Any, ...], tangents: tuple[Any, ...], tiles: Tiles) -> Array:
    """The tangent of ``stepper.advance(state, time, length)``; a None among the tangents stands for what does not move.

    On a CPU both the tangent and its transpose go through the cells in tiles. The transpose needs the arrays of the stepper and the state
    before the step; a tile's step is computed again just before it is reversed, so that its dozens of intermediate fields stay in a cache.
    """
    leaves, structure = jax.tree.flatten(primals, is_leaf=lambda leaf: leaf is None)
    moves = jax.tree.leaves(tangents, is_leaf=lambda leaf: leaf is None)
    is_array = tuple(eqx.is_array(leaf) for leaf in leaves)
    along = [tangent for tangent, array in zip(moves, is_array, strict=True) if array]
    constants = tuple(None if array else leaf for leaf, array in zip(leaves, is_array, strict=True))
    step = Step(structure, constants, is_array, tuple(tangent is not None for tangent in along), tiles)
    arrays = [leaf for leaf, array in zip(leaves, is_array, strict=True) if array]
    moving = [tangent for tangent in along if tangent is not None]
    return _tangent.bind(*arrays, *moving, step=step)[0] if moving else jnp.zeros_like(primals[1])


def tile_width(cells: int, most: int) -> int:
    """Cells per tile: the largest part of at most so many that divides the cells, if it is at least half as many; else so many.

    What is left over is a program of its own, and compiling it takes as long as the rest.
    """
    fewest = -(-cells // most)
    return next((cells // count for count in range(fewest, 2 * fewest + 1) if cells % count == 0), most)


def per_cell(leaf: Any, cells: int) -> bool:
    """Whether a leaf has one entry per cell along its last axis."""
    return eqx.is_array(leaf) and leaf.ndim > 0 and leaf.shape[-1] == cells


def spec_of(leaf: Array, cells: int, axis: str) -> PartitionSpec:
    """How a leaf lies on devices."""
    return PartitionSpec(*[None] * (leaf.ndim - 1), axis) if per_cell(leaf, cells) else PartitionSpec()


def _tangent_whole(*operands: Array, step: Step) -> list[Array]:
    given, linear, moving = step.split(operands)
    return [jax.jvp(lambda *moved: step(given, moved), linear, moving)[1]]


def _adjoint_whole(*operands: Array, step: Step) -> list[Array]:
    given, linear, (cotangent,) = step.split(operands)
    return list(jax.vjp(lambda *moved: step(given, moved), *linear)[1](cotangent))


def _in_tiles(whole: Callable[..., list[Array]], like: Callable[..., Sequence[Array]]) -> Callable[..., list[Array]]:
    """``whole`` tile after tile on every device: results per cell are put together, those of all cells are added up."""

    def local(*operands: Array, step: Step) -> list[Array]:
        cells = step.cells(operands)
        width = tile_width(cells, step.tiles.size)

        def visit(start: Any, width: int, found: list[Array]) -> list[Array]:
            parts = [lax.dynamic_slice_in_dim(x, start, width, -1) if per_cell(x, cells) else x for x in operands]
            return [
                lax.dynamic_update_slice_in_dim(old, new, start, -1) if per_cell(old, cells) else old + new
                for old, new in zip(found, whole(*parts, step=step), strict=True)
            ]

        found = [jnp.zeros_like(part) for part in like(*operands, step=step)]
        found = lax.fori_loop(0, cells // width, lambda number, found: visit(number * width, width, found), found)
        return visit(cells - cells % width, cells % width, found) if cells % width else found

    def everywhere(*operands: Array, step: Step) -> list[Array]:
        mesh, cells = step.tiles.mesh, step.cells(operands)
        if mesh is None or mesh.size == 1:
            return local(*operands, step=step)
        (axis,) = mesh.axis_names
        alike = like(*operands, step=step)

        def mine(*operands: Array) -> list[Array]:
            found = local(*operands, step=step)
            return [part if per_cell(whole, cells) else lax.psum(part, axis) for part, whole in zip(found, alike, strict=True)]

        specs = tuple(spec_of(x, cells, axis) for x in operands)
        outcome = [spec_of(x, cells, axis) for x in alike]
        return jax.shard_map(mine, mesh=mesh, in_specs=specs, out_specs=outcome, check_vma=False)(*operands)

    return everywhere


def _like_state(*operands: Any, step: Step) -> Sequence[Any]:
    return [operands[len(step.moving) - 3]]


def _like_moving(*operands: Any, step: Step) -> Sequence[Any]:
    return list(step.split(operands)[1])


def _primitive(name: str, whole: Callable[..., list[Array]], like: Callable[..., Sequence[Any]]) -> Primitive:
    tiled = _in_tiles(whole, like)

    def rule(*operands: Array, step: Step) -> list[Array]:
        return lax.platform_dependent(
            *operands, cpu=lambda *operands: tiled(*operands, step=step), default=lambda *operands: whole(*operands, step=step)
        )

    def differentiate(primals: Sequence[Array], tangents: Sequence[Any], *, step: Step) -> tuple[Any, Any]:
        """Second derivatives, of all cells at once."""
        tangents = [ad.instantiate_zeros(tangent) for tangent in tangents]
        return jax.jvp(lambda *operands: whole(*operands, step=step), tuple(primals), tuple(tangents))

    def batch(operands: Sequence[Array], dimensions: Sequence[Any], *, step: Step) -> tuple[Sequence[Array], Sequence[int]]:
        """Of all cells at once: what does not differ between members, as the step itself under many tangents, is computed once."""
        results = jax.vmap(lambda *operands: whole(*operands, step=step), in_axes=tuple(dimensions))(*operands)
        return results, [0] * len(results)

    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(lambda *operands, step: list(jax.jit(rule, static_argnames="step")(*operands, step=step)))
    primitive.def_abstract_eval(lambda *operands, step: list(like(*operands, step=step)))
    mlir.register_lowering(primitive, mlir.lower_fun(rule, multiple_results=True))
    ad.primitive_jvps[primitive] = differentiate
    batching.primitive_batchers[primitive] = batch
    return primitive


_tangent = _primitive("twinsim_step_tangent", _tangent_whole, _like_state)
_adjoint = _primitive("twinsim_step_adjoint", _adjoint_whole, _like_moving)


def _transpose(cotangents: Sequence[Any], *operands: Any, step: Step) -> Sequence[Any]:
    given, moving = operands[: len(step.moving)], operands[len(step.moving) :]
    if isinstance(cotangents[0], ad.Zero):
        return [*[None] * len(given), *[ad.Zero(x.aval) if ad.is_undefined_primal(x) else None for x in moving]]
    found = _adjoint.bind(*given, cotangents[0], step=step)
    return [*[None] * len(given), *[part if ad.is_undefined_primal(x) else None for part, x in zip(found, moving, strict=True)]]


def _jvp_of_tangent(primals: Sequence[Array], tangents: Sequence[Any], *, step: Step) -> tuple[Any, Any]:
    """Linear in the tangents; in everything else by differentiating the whole."""
    count = len(step.moving)
    out = _tangent.bind(*primals, step=step)
    if all(isinstance(tangent, ad.Zero) for tangent in tangents[:count]):
        moved = [ad.instantiate_zeros(tangent) for tangent in tangents[count:]]
        return out, _tangent.bind(*primals[:count], *moved, step=step)
    tangents = [ad.instantiate_zeros(tangent) for tangent in tangents]
    return out, jax.jvp(lambda *operands: _tangent_whole(*operands, step=step), tuple(primals), tuple(tangents))[1]


ad.primitive_transposes[_tangent] = _transpose
ad.primitive_jvps[_tangent] = _jvp_of_tangent
