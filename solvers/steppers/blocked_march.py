"""Many explicit diffusion steps per pass through memory, with a reverse mode that knows that the operator is symmetric."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from solvers.shapes import Cells, Faces, Scalar
from solvers.space.exchange import exchange

Strides = tuple[int, ...]
TILE_BYTES = 2**17
"""Size of the part of a field that one visit advances: with its faces it stays in a second-level cache."""
ALIGNMENT = 16
DEPTH = 8
"""Steps per visit where nothing speaks against them."""
WINDOW_BYTES = 10 * 2**20
"""Working set of a march, which has to stay in a core's share of the last-level cache; 19 points lose a third with three times as much."""


def march(strides: Strides, faces: tuple[Faces, ...], factor: Scalar, field: Cells, steps: int, depth: int | None = None) -> Cells:
    r"""``steps`` times $u \leftarrow u + f A(c) u$ with the exchange $A(c)$ of :func:`solvers.space.exchange.exchange`.

    On CPU the flat field is visited in tiles, and each visit makes ``depth`` steps: step $k$ is done on a tile that lies $k$ reaches
    further back, so that all it needs is there, nothing is computed twice, and memory is passed once for ``depth`` steps. The
    arithmetic of each cell is that of single steps. Elsewhere the steps are single.

    Reverse mode with respect to $c$, $f$ and $u$: $A$ is symmetric, so the adjoint $w_k = w_{k+1} + f A w_{k+1}$ is marched by the same
    tiles, and $\bar c_s = -f\sum_k (\delta_s u_k)(\delta_s w_{k+1})$, $\delta_s u = u_{i+s} - u_i$, is added up in the same visit. One
    state per ``depth`` steps is kept, the others are computed again. With respect to $u$ alone nothing is kept, and the
    gradient is one more forward pass. Forward mode and second derivatives are those of single steps.

    Args:
        strides: Distances in the flat field; a stride 0 stands for a loss, $-c_i u_i$.
        faces: Per stride, as :func:`solvers.space.exchange.exchange` takes them; ``cells`` entries for a loss.
        factor: $f$, the length of a step times the operator's scale.
        field: One flat field; ``jax.vmap`` makes it many.
        steps: How many, static.
        depth: Steps per visit; by default what :func:`best_depth` says.

    Memory of reverse mode: ``steps / depth + depth`` states and one field per stride. Choose ``depth`` near the root of ``steps`` where
    memory matters. Its working set is that of :func:`best_depth`.
    Source: time skewing, Wonnacott (2000), Proc. IPDPS, 171; checkpoints: Griewank (1992), Optim. Methods Softw. 1, 35.
    """
    if steps < 0 or (depth is not None and depth < 1):
        raise ValueError(f"got {steps} steps, depth {depth}; expected steps >= 0 and depth >= 1; do: give positive numbers")
    if steps == 0:
        return field
    dtype = jnp.result_type(field, *faces)
    depth = min(steps, depth or best_depth(strides, np.dtype(dtype).itemsize, steps))
    for count, deep in ((steps // depth, depth), (1, steps % depth)):
        if deep == 0:
            continue
        layout = Layout(strides, field.shape[-1], deep, count, np.dtype(dtype).itemsize)
        padded = [layout.pad(values.astype(dtype)) for values in (*faces, field)]
        field = layout.unpad(march_padded(padded[:-1], factor, padded[-1], layout))
    return field


def march_padded(faces: Sequence[Array], factor: Array, field: Array, layout: "Layout") -> Array:
    """The march on faces and a field that are padded already; the result is padded too, and zero in its padding."""
    (result,) = _march.bind(*faces, jnp.asarray(factor, field.dtype), field, layout=layout, keep=False)
    return result


def best_depth(strides: Strides, item_bytes: int, steps: int) -> int:
    """Steps per visit: at most 12, with ``(depth + 2) * (len(strides) + 2) * max(strides)`` numbers within ``WINDOW_BYTES``.

    Of the upper half of what fits the one that leaves fewest steps over, and among equals the one closest to 8.
    """
    most = min(12, max(2, WINDOW_BYTES // ((len(strides) + 2) * max(strides) * item_bytes) - 2))
    return min(range(max(2, most // 2), most + 1), key=lambda depth: (steps % depth, abs(depth - min(DEPTH, most))))


@dataclass(frozen=True)
class Layout:
    """Where tiles lie in a field that is padded so that every tile of every step is inside.

    Attributes:
        strides: As in :func:`march`.
        cells: Of the field that is not padded.
        depth: Steps per visit.
        sweeps: Passes through memory.
        item_bytes: Of one number.
    """

    strides: Strides
    cells: int
    depth: int
    sweeps: int
    item_bytes: int

    @property
    def reach(self) -> int:
        """How far a step looks, rounded up to whole vectors."""
        return -(-max(self.strides) // ALIGNMENT) * ALIGNMENT

    @property
    def tile(self) -> int:
        """Cells per tile."""
        return min(TILE_BYTES // self.item_bytes, -(-self.cells // ALIGNMENT) * ALIGNMENT)

    @property
    def tiles(self) -> int:
        """Tiles that cover the field at the last step, which lies furthest back."""
        return -(-(self.cells + self.depth * self.reach) // self.tile)

    @property
    def front(self) -> int:
        """Padding before the field."""
        return (self.depth + 1) * self.reach

    @property
    def total(self) -> int:
        """Length of a padded field."""
        return self.front + self.tiles * self.tile

    def start(self, tile: Array, step: int) -> Array:
        """Where a tile begins at a step, counted from one."""
        return self.front + tile * self.tile - step * self.reach

    def pad(self, values: Array) -> Array:
        """A field, or the first ``cells`` values of a face; what lies behind them is zero."""
        return jnp.pad(values[: self.cells], (self.front, self.total - self.front - self.cells))

    def unpad(self, values: Array) -> Array:
        """The cells of a padded field."""
        return values[self.front : self.front + self.cells]


def _cut(values: Array, start: Array, length: int) -> Array:
    return lax.dynamic_slice(values, (start,), (length,))


def _put(values: Array, part: Array, start: Array) -> Array:
    return lax.dynamic_update_slice(values, part, (start,))


def _advanced(layout: Layout, faces: Sequence[Array], factor: Array, field: Array, start: Array) -> Array:
    """One step on one tile."""
    length, reach = layout.tile, layout.reach
    around = _cut(field, start - reach, length + 2 * reach)
    centre = around[reach : reach + length]
    terms = []
    for stride, face in zip(layout.strides, faces, strict=True):
        near = _cut(face, start, length + stride)
        if stride == 0:
            terms.append(-near * centre)
            continue
        above, below = (around[reach + offset : reach + offset + length] for offset in (stride, -stride))
        terms.append(near[stride:] * (above - centre) + near[:length] * (below - centre))
    return centre + factor * sum(terms[1:], terms[0])


def _products(layout: Layout, stride: int, field: Array, cotangent: Array, start: Array) -> Array:
    """The part of a face's cotangent that one step brings to one tile, with its sign turned."""
    length = layout.tile
    if stride == 0:
        return _cut(field, start, length) * _cut(cotangent, start, length)
    ours, theirs = (_cut(values, start - stride, length + stride) for values in (field, cotangent))
    return (ours[stride:] - ours[:length]) * (theirs[stride:] - theirs[:length])


def _march_blocked(layout: Layout, faces: Sequence[Array], factor: Array, field: Array, keep: bool) -> tuple[Array, ...]:
    def tile(index: Array, pair: tuple[Array, ...]) -> tuple[Array, ...]:
        levels = list(pair)
        for step in range(1, layout.depth + 1):
            start = layout.start(index, step)
            levels[step % 2] = _put(levels[step % 2], _advanced(layout, faces, factor, levels[(step - 1) % 2], start), start)
        return tuple(levels)

    def sweep(pair: tuple[Array, ...]) -> tuple[Array, ...]:
        pair = lax.fori_loop(0, layout.tiles, tile, pair)
        return pair if layout.depth % 2 == 0 else (pair[1], pair[0])

    pair = (field, jnp.zeros_like(field))
    if not keep:
        return (lax.fori_loop(0, layout.sweeps, lambda _, pair: sweep(pair), pair)[0],)
    pair, kept = lax.scan(lambda pair, _: (sweep(pair), pair[0]), pair, length=layout.sweeps)
    return pair[0], kept


def _march_plain(layout: Layout, faces: Sequence[Array], factor: Array, field: Array, keep: bool) -> tuple[Array, ...]:
    """The same by single steps, which JAX can differentiate."""
    between = [(stride, jnp.pad(face, (0, stride))) for stride, face in zip(layout.strides, faces, strict=True) if stride]
    losses = [face for stride, face in zip(layout.strides, faces, strict=True) if not stride]

    def step(field: Array, _: None) -> tuple[Array, None]:
        change = exchange(tuple(s for s, _ in between), tuple(f for _, f in between), field)
        for loss in losses:
            change = change - loss * field
        return lax.optimization_barrier(field + factor * change), None

    def sweep(field: Array, _: None) -> tuple[Array, Array | None]:
        return lax.scan(step, field, length=layout.depth)[0], field if keep else None

    final, kept = lax.scan(sweep, field, length=layout.sweeps)
    return (final,) if kept is None else (final, kept)


def _adjoint_blocked(
    layout: Layout, faces: Sequence[Array], factor: Array, kept: Array, initial: Array, cotangent: Array
) -> tuple[Array, ...]:
    """Cotangents of the faces times ``factor`` (over it), and of the field. ``states[k]`` is the field before step ``k`` of a sweep."""
    depth = layout.depth
    del initial  # it is kept[0]; the form by single steps starts from it

    def forward(index: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        levels = list(states)
        for step in range(1, depth):
            start = layout.start(index, step)
            levels[step] = _put(levels[step], _advanced(layout, faces, factor, levels[step - 1], start), start)
        return tuple(levels)

    def backward(index: Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        states, sums, pair = carry[0], list(carry[1]), list(carry[2])
        for step in range(1, depth + 1):
            start, current = layout.start(index, step), pair[(step - 1) % 2]
            for number, stride in enumerate(layout.strides):
                part = _cut(sums[number], start, layout.tile) - _products(layout, stride, states[depth - step], current, start)
                sums[number] = _put(sums[number], part, start)
            start = _after(start, sums)
            pair[step % 2] = _put(pair[step % 2], _advanced(layout, faces, factor, current, start), start)
        return states, tuple(sums), tuple(pair)

    def sweep(number: Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        states, sums, pair = carry
        first = lax.dynamic_index_in_dim(kept, layout.sweeps - 1 - number, keepdims=False)
        states = lax.fori_loop(0, layout.tiles, forward, (first, *states[1:]))
        states, sums, pair = lax.fori_loop(0, layout.tiles, backward, (states, sums, pair))
        return states, sums, pair if depth % 2 == 0 else (pair[1], pair[0])

    empty = jnp.zeros_like(cotangent)
    carry = ((empty,) * depth, (empty,) * len(faces), (cotangent, empty))
    _, sums, pair = lax.fori_loop(0, layout.sweeps, sweep, carry)
    return (*sums, pair[0])


def _after(start: Array, values: Sequence[Array]) -> Array:
    """``start``, but known only after ``values`` have been written there: else XLA copies the whole field that comes next."""
    for part in values:
        start = start + (_cut(part, start, 1)[0] > jnp.inf).astype(start.dtype)
    return start


def _adjoint_plain(
    layout: Layout, faces: Sequence[Array], factor: Array, kept: Array, initial: Array, cotangent: Array
) -> tuple[Array, ...]:
    del kept

    def weighted(faces: Sequence[Array], field: Array) -> Array:
        return _march_plain(layout, faces, jnp.ones_like(factor), field, False)[0]

    _, pull = jax.vjp(weighted, [factor * face for face in faces], initial)
    sums, to_field = pull(cotangent)
    return (*sums, to_field)


def _split(layout: Layout, operands: Sequence[Array]) -> tuple[Any, ...]:
    """Faces, then the others one by one."""
    count = len(layout.strides)
    return tuple(operands[:count]), *operands[count:]


def _march_rule(*operands: Array, layout: Layout, keep: bool) -> tuple[Array, ...]:
    def run(form: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *operands: form(layout, *_split(layout, operands), keep)

    return lax.platform_dependent(*operands, cpu=run(_march_blocked), default=run(_march_plain))


def _adjoint_rule(*operands: Array, layout: Layout) -> tuple[Array, ...]:
    def run(form: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *operands: form(layout, *_split(layout, operands))

    return lax.platform_dependent(*operands, cpu=run(_adjoint_blocked), default=run(_adjoint_plain))


def _tangent_rule(*operands: Array, layout: Layout) -> tuple[Array, ...]:
    """Tangents of faces and factor, with the field held, by single steps."""
    faces, factor, _, initial, *tangents = _split(layout, operands)

    def plain(faces: Sequence[Array], factor: Array) -> Array:
        return _march_plain(layout, faces, factor, initial, False)[0]

    to_faces, to_factor = _split(layout, tangents)
    return (jax.jvp(plain, (faces, factor), (to_faces, to_factor))[1],)


def _march_jvp(primals: Sequence[Array], tangents: Sequence[Any], *, layout: Layout, keep: bool) -> tuple[Any, Any]:
    faces, factor, initial = _split(layout, primals)
    *coefficients, along = tangents
    out: list[Any] = []
    moved = []
    if not all(isinstance(tangent, ad.Zero) for tangent in coefficients):
        final, kept = _march.bind(*primals, layout=layout, keep=True)
        out = [final, kept][: 1 + keep]
        coefficients = [ad.instantiate_zeros(tangent) for tangent in coefficients]
        moved += _march_tangent.bind(*faces, factor, kept, initial, *coefficients, layout=layout)
    else:
        out = _march.bind(*primals, layout=layout, keep=keep)
    if not isinstance(along, ad.Zero):
        moved += _march.bind(*faces, factor, along, layout=layout, keep=False)
    zeros = [ad.Zero(jax.typeof(part)) for part in out]
    return out, [moved[0] if len(moved) == 1 else moved[0] + moved[1], *zeros[1:]] if moved else zeros


def _march_transpose(cotangents: Sequence[Any], *operands: Any, layout: Layout, keep: bool) -> Sequence[Any]:
    *others, field = operands
    del keep  # only ever transposed without
    if isinstance(cotangents[0], ad.Zero):
        return [None] * len(others) + [ad.Zero(field.aval)]
    return [*[None] * len(others), *_march.bind(*others, cotangents[0], layout=layout, keep=False)]


def _tangent_transpose(cotangents: Sequence[Any], *operands: Any, layout: Layout) -> Sequence[Any]:
    count = len(layout.strides)
    given, linear = operands[: count + 3], operands[count + 3 :]
    faces, factor = given[:count], given[count]
    if isinstance(cotangents[0], ad.Zero):
        return [None] * len(given) + [ad.Zero(part.aval) if ad.is_undefined_primal(part) else None for part in linear]
    *sums, _ = _march_adjoint.bind(*given, cotangents[0], layout=layout)
    to_factor = sum(jnp.vdot(face, part) for face, part in zip(faces, sums, strict=True))
    found = [*[factor * part for part in sums], to_factor]
    return [*[None] * len(given), *[part if ad.is_undefined_primal(asked) else None for part, asked in zip(found, linear, strict=True)]]


def _jvp_of(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Second derivatives, by single steps, which start from ``initial`` and do not look at what was kept."""

    def differentiate(primals: Sequence[Array], tangents: Sequence[Any], *, layout: Layout) -> tuple[Any, Any]:
        tangents = [ad.instantiate_zeros(tangent) for tangent in tangents]
        return jax.jvp(lambda *operands: list(rule(layout, *_split(layout, operands))), tuple(primals), tuple(tangents))

    return differentiate


def _primitive(name: str, rule: Callable[..., Any], shapes: Callable[..., Any], options: tuple[str, ...] = ("layout",)) -> Primitive:
    primitive = Primitive(name)
    primitive.multiple_results = True
    compiled = jax.jit(rule, static_argnames=options)
    primitive.def_impl(lambda *operands, **static: list(compiled(*operands, **static)))
    primitive.def_abstract_eval(shapes)
    mlir.register_lowering(primitive, mlir.lower_fun(rule, multiple_results=True))

    def batch(operands: Sequence[Array], dimensions: Sequence[Any], **options: Any) -> tuple[Sequence[Array], Sequence[int]]:
        """One member after another: each has the cache for itself."""
        batched = [d is not None for d in dimensions]
        moving = [jnp.moveaxis(x, d, 0) for x, d, b in zip(operands, dimensions, batched, strict=True) if b]

        def one(moving: Sequence[Array]) -> list[Array]:
            rest = iter(moving)
            return primitive.bind(*[next(rest) if b else x for x, b in zip(operands, batched, strict=True)], **options)

        results = lax.map(one, moving)
        return results, [0] * len(results)

    batching.primitive_batchers[primitive] = batch
    return primitive


def _march_shapes(*operands: Any, layout: Layout, keep: bool) -> list[Any]:
    field = operands[-1]
    return [field, field.update(shape=(layout.sweeps, *field.shape))][: 1 + keep]


_march = _primitive("twinsim_march", _march_rule, _march_shapes, ("layout", "keep"))
_march_tangent = _primitive("twinsim_march_tangent", _tangent_rule, lambda *operands, layout: [operands[0]])
_march_adjoint = _primitive(
    "twinsim_march_adjoint", _adjoint_rule, lambda *operands, layout: [*operands[: len(layout.strides)], operands[-1]]
)
ad.primitive_jvps[_march] = _march_jvp
ad.primitive_transposes[_march] = _march_transpose
ad.primitive_transposes[_march_tangent] = _tangent_transpose
ad.primitive_jvps[_march_tangent] = _jvp_of(lambda layout, *parts: _tangent_rule(*parts[0], *parts[1:], layout=layout))
ad.primitive_jvps[_march_adjoint] = _jvp_of(_adjoint_plain)
