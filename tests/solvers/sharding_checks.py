"""The checks of test_sharding.py that need several host devices; run as a process, prints one JSON of largest differences."""

import json
import os
import sys
from dataclasses import replace

DEVICES, QUICK = int(sys.argv[1]), sys.argv[2:] == ["quick"]
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from physics import CELL_MODELS, Monodomain, TissueStimulus, box_fraction, fibre_tensor, front_fit  # noqa: E402
from solvers import (  # noqa: E402
    HEUN,
    Diffusion,
    ExactFlow,
    ExplicitRungeKutta,
    Flow,
    LatticeDiffusion,
    RungeKuttaChebyshev2,
    Strang,
    Substeps,
    TensorDiffusion,
    Tiled,
    VoxelGrid,
    multigrid,
    simulate,
    solve_elliptic,
    time_mesh,
)
from solvers.devices.members import map_members, vmap_members  # noqa: E402
from solvers.devices.sharding import decomposed, device_mesh, padded_planes, placed  # noqa: E402
from solvers.space.edge_diffusion import EdgeDiffusion  # noqa: E402
from solvers.steppers.blocked_diffusion import BlockedDiffusion  # noqa: E402

jax.config.update("jax_enable_x64", True)
RANDOM = np.random.default_rng(0)


class Logistic(Flow):
    rate: jax.Array

    def solve(self, state, time, length):
        grown = jnp.exp(self.rate * length)
        return state * grown / (1 + state * (grown - 1))


def jit(function):
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def apply(operator, field):
    return operator.apply(field)


def grid_of(planes):
    mask = RANDOM.random((planes, 5, 6)) > 0.15
    return VoxelGrid(mask, (1.0, 1.5, 0.8))


def gap(found, expected):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max() / max(np.abs(np.asarray(b)).max(), 1e-300)) for a, b in pairs)


def gap_where_used(found, expected, leaves):
    """The derivative with respect to a face inside a wall is no number that anything depends on."""
    triples = zip(*(jax.tree.leaves(tree) for tree in (found, expected, leaves)), strict=True)
    return max(gap(np.where(leaf != 0, a, 0), np.where(leaf != 0, b, 0)) for a, b, leaf in triples)


def operators(grid):
    coefficient = jnp.asarray(RANDOM.uniform(0.2, 1.0, grid.shape))
    root = RANDOM.normal(size=(*grid.shape, 3, 3))
    tensor = jnp.asarray(root @ np.swapaxes(root, -1, -2))
    loss = jnp.asarray(RANDOM.uniform(size=grid.size))
    return {
        "diffusion": (Diffusion(grid, coefficient, 0.7, loss=loss), 1),
        "order 4": (Diffusion(grid, coefficient, 0.7, interior_order=4), 2),
        "tensor": (TensorDiffusion(grid, tensor, 0.7), 2),
        "edges": (EdgeDiffusion.of(TensorDiffusion(grid, tensor, 0.7)), 1),
    }


def tissue(scheme):
    grid = VoxelGrid(np.ones((8, 5, 3), bool), 0.2)
    tensor = fibre_tensor(grid, 0.095, 0.0126, (0.8, 0.6, 0.0))
    cell = CELL_MODELS["mitchell_schaeffer"]()
    operator = {"axis": lambda: Diffusion(grid, 0.1), "oblique": lambda: TensorDiffusion(grid, tensor)}
    operator["lattice"] = lambda: LatticeDiffusion(grid, tensor, front_fit(cell))
    equation = Monodomain(cell, operator[scheme](), (TissueStimulus(grid, box_fraction(grid, (0, 0, 0), (0.5, 9, 9)), 60.0, 1.0),))
    return equation.for_step(0.02), grid


def tissue_gap(splitting, alone, grid, mesh):
    """Ten steps in slabs and in tiles of 16 against ten steps on one device, and a gradient."""
    both = []
    for equation in (alone, alone.on_devices(grid, mesh)):
        stepper = jax.tree.map(
            lambda part: replace(part, tile=16) if isinstance(part, Tiled) else part,
            getattr(equation, splitting)(),
            is_leaf=lambda part: isinstance(part, Tiled),
        )
        start = equation.initial_state(grid)

        def final(start, stepper=stepper):
            length = jnp.asarray(0.02)
            return jax.lax.fori_loop(0, 10, lambda n, state: stepper.advance(state, n * length, length), start)

        both.append((jit(final)(start), jit(jax.grad(lambda start, final=final: jnp.sum(final(start)[0] ** 2)))(start)))
    assert float(np.ptp(np.asarray(both[0][0]))) > 0.1  # the stimulus has done something
    return gap(both[1], both[0])


def checks():
    mesh, numbers = device_mesh(), {"devices": len(jax.devices())}
    for planes in (5,) if QUICK else (8, 11):
        grid = grid_of(planes)
        field = grid.cells(jnp.asarray(RANDOM.random(grid.shape)))
        weight = jnp.asarray(RANDOM.random(grid.size))
        spread = placed(field, grid, mesh)
        for name, (operator, halo) in list(operators(grid).items())[: 1 if QUICK else None]:
            divided = decomposed(operator, grid, mesh, halo)
            numbers[f"apply {name} {planes}"] = gap(jit(apply)(divided, spread), operator.apply(field))
            batch = jnp.stack([field, weight])
            numbers[f"batch {name} {planes}"] = gap(jit(apply)(divided, batch), operator.apply(batch))
            run = jit(lambda operator, field, weight=weight: jax.vjp(apply, operator, field)[1](weight))
            to_whole, to_field = run(operator, field)
            to_divided, to_spread = run(divided, spread)
            numbers[f"gradient {name} {planes}"] = max(gap(to_spread, to_field), gap_where_used(to_divided, to_whole, operator))

    grid = grid_of(8)
    field = grid.cells(jnp.asarray(RANDOM.random(grid.shape)))
    operator = operators(grid)["diffusion"][0]
    reaction, times = ExactFlow(Logistic(jnp.asarray(0.3))), time_mesh(0.0, [1.0, 2.0], 0.25)
    chebyshev = RungeKuttaChebyshev2(operator, 4)
    steppers = {
        "chebyshev by operator": (
            RungeKuttaChebyshev2(operator, 4),
            lambda s: RungeKuttaChebyshev2(decomposed(s.operator, grid, mesh, 1), 4),
        ),
        "chebyshev by step": (chebyshev, lambda s: decomposed(s, grid, mesh, 4)),
        "blocked": (BlockedDiffusion(operator, 6), lambda s: decomposed(s, grid, mesh, 6)),
        "blocked in visits of unequal length": (BlockedDiffusion(operator, 7), lambda s: decomposed(s, grid, mesh, 3)),
    }
    for name, (stepper, divide) in list(steppers.items())[-1 if QUICK else 0 :]:

        def end(scale, stepper, field):
            stepper = jax.tree.map(lambda leaf: leaf * scale, stepper)
            return simulate(Strang(reaction, stepper), field, times, observe=lambda t, u: u.sum()).final

        def value(scale, stepper, field):
            return jnp.vdot(end(scale, stepper, field), field)

        one = jnp.asarray(1.0)
        spread = placed(field, grid, mesh)
        numbers[f"simulate {name}"] = gap(jit(end)(one, divide(stepper), spread), jit(end)(one, stepper, field))
        slopes = jit(jax.grad(value, (0, 2)))
        numbers[f"simulate gradient {name}"] = gap(slopes(one, divide(stepper), spread), slopes(one, stepper, field))

    for name, scheme in (("godunov", "axis"), *([] if QUICK else [("stepper", "axis"), ("godunov", "oblique"), ("stepper", "lattice")])):
        numbers[f"tissue {name} {scheme}"] = tissue_gap(name, *tissue(scheme), mesh)

    heat = ExplicitRungeKutta(operator, HEUN)
    for name, part in {"RK4": ExplicitRungeKutta(operator), "substeps": Substeps(heat, 4), "twice": Strang(chebyshev, heat)}.items():
        arguments = (field, jnp.asarray(0.0), jnp.asarray(0.05))
        run = jit(lambda part, *arguments: part.advance(*arguments))
        numbers[f"own halo {name}"] = gap(run(decomposed(part, grid, mesh), *arguments), run(part, *arguments))
    divided = decomposed(operator, grid, mesh, 1)

    def conjugate_gradients(operator, right):
        return jax.scipy.sparse.linalg.cg(lambda u: u - operator.apply(u), right, tol=1e-12)[0]

    solve = jit(conjugate_gradients)
    result = solve(divided, placed(field, grid, mesh))
    numbers["conjugate gradients"] = gap(result, solve(operator, field))
    if not QUICK:
        preconditioner = multigrid(operator, 0.1)

        def potential(operator, source, preconditioner):
            return solve_elliptic(operator, source, 0.1, preconditioner=preconditioner).field

        def work(operator, source, preconditioner):
            return jnp.vdot(potential(operator, source, preconditioner), jnp.cos(source))

        spread = (divided, placed(field, grid, mesh), placed(preconditioner, grid, mesh))
        numbers["multigrid"] = gap(jit(potential)(*spread), jit(potential)(operator, field, preconditioner))
        slopes = jit(jax.grad(work, (0, 1)))
        found, expected = slopes(*spread), slopes(operator, field, preconditioner)
        numbers["multigrid gradient"] = gap_where_used(found, expected, (operator, field))
    for count in (1, 2 * DEVICES + 1):
        members = (jnp.asarray(RANDOM.random((count, 3))), jnp.arange(count))

        def member(pair):
            return {"scaled": jnp.sin(pair[0]) * field[:3] + pair[1], "sum": pair[0].sum()}

        def total(members):
            return sum(leaf.sum() for leaf in jax.tree.leaves(map_members(member, members)))

        numbers[f"members {count}"] = gap(jit(lambda m: map_members(member, m))(members), jax.vmap(member)(members))
        numbers[f"members together {count}"] = gap(jit(lambda m: vmap_members(member, m))(members), jax.vmap(member)(members))
        slope = jit(jax.grad(lambda values, m=members: total((values, m[1]))))(members[0])
        numbers[f"members gradient {count}"] = gap(slope, jnp.cos(members[0]) * field[:3][None] + 1)
    numbers["members not divided"] = float(len(map_members(member, members)["scaled"].sharding.device_set) != DEVICES)
    volume = padded_planes(np.ones((DEVICES + 1, 2, 2)), mesh)
    numbers["padded"] = float(volume.shape[0] != 2 * DEVICES or volume.sum() != 4 * (DEVICES + 1))
    text = jax.jit(apply).lower(divided, placed(field, grid, mesh)).compile().as_text()
    numbers["not local"] = float("collective-permute" not in text or "all-gather" in text)
    return numbers


if __name__ == "__main__":
    print(json.dumps(checks()))
