"""Restart files and chunked runs: exact, atomic, strict, and nothing lost."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import RK4, Diffusion, ExactFlow, ExplicitRungeKutta, Flow, Jump, SimulationError, Status, VoxelGrid, simulate, time_mesh
from solvers.loop.adaptive_mesh import adaptive_mesh
from solvers.loop.chunks import simulate_in_chunks
from solvers.loop.restart import load_restart, save_restart
from tests.problems import number


class Pair(eqx.Module):
    field: jax.Array
    count: jax.Array


STATE = Pair(jnp.linspace(0.0, 1.0, 7).reshape(7), jnp.array([3, -1]))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "complex128", "int8", "bool"])
def test_a_state_comes_back_bit_for_bit(tmp_path, dtype):
    state = {"a": jnp.arange(6).reshape(2, 3).astype(dtype), "b": (jnp.zeros((), dtype), jnp.zeros((0, 2), dtype))}
    save_restart(tmp_path / "at.npz", state, 12.5, chunk=3)
    found, time, notes = load_restart(tmp_path / "at.npz", jax.eval_shape(lambda: state))
    assert (time, notes) == (12.5, {"chunk": 3})
    for new, old in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
        assert new.dtype == old.dtype
        np.testing.assert_array_equal(new, old)


def test_a_write_that_fails_leaves_the_former_file(tmp_path, monkeypatch):
    path = tmp_path / "at.npz"
    save_restart(path, STATE, 1.0)
    before = path.read_bytes()

    def full(*arguments, **options):
        arguments[0].write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        save_restart(path, STATE, 2.0)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["at.npz"]


def other(state):
    return {
        "shape": Pair(jnp.zeros(8), state.count),
        "type": Pair(state.field.astype(jnp.float32), state.count),
        "structure": (state.field, state.count),
        "more leaves": Pair(state.field, (state.count, state.count)),
    }


@pytest.mark.parametrize("kind", ["shape", "type", "structure", "more leaves"])
def test_another_structure_is_refused_in_one_line(tmp_path, kind):
    save_restart(tmp_path / "at.npz", STATE, 1.0)
    with pytest.raises(ValueError, match=r"got a restart of .field float64.*; expected .*; do: ") as caught:
        load_restart(tmp_path / "at.npz", other(STATE)[kind])
    assert "\n" not in str(caught.value)


def test_files_that_are_none_are_refused_in_one_line(tmp_path):
    whole = tmp_path / "whole.npz"
    save_restart(whole, STATE, 1.0)
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    for name in ("cut.npz", "text.npz", "foreign.npz", "missing.npz"):
        with pytest.raises(ValueError, match=r"^got .*; expected .*; do: ") as caught:
            load_restart(tmp_path / name, STATE)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="folder that exists"):
        save_restart(tmp_path / "no" / "at.npz", STATE, 1.0)
    with pytest.raises(ValueError, match="arrays of numbers"):
        save_restart(tmp_path / "at.npz", {"a": object()}, 1.0)


class Grow(Flow):
    rate: jax.Array

    def solve(self, state, time, length):
        return state * jnp.exp(self.rate * length * jnp.cos(time + length / 2))


class Add(Jump):
    def apply(self, state, event):
        return state + event + 1


STEPPER = ExactFlow(Grow(number(0.3)))
START = jnp.array([1.0, 2.0])
MESH = time_mesh(0.0, [0.0, 1.0, 1.7, 6.0], 0.25, events=[0.0, 0.9, 1.7, 1.7, 6.0])


def observe(time, state):
    return {"time": time, "sum": state.sum()}


@pytest.mark.parametrize("chunks", [1, 3, 7, 100])
@pytest.mark.quick(1)
def test_chunks_give_what_one_program_gives(chunks):
    whole = simulate(STEPPER, START, MESH, Add(), observe)
    seen = []
    run = simulate_in_chunks(STEPPER, START, MESH, Add(), observe, chunks=chunks, progress=lambda part, time: seen.append((part, time)))
    assert run.finished and run.saved == (0, 1, 2, 3) and run.time == 6.0
    np.testing.assert_allclose(run.states, whole.states, rtol=1e-14)
    np.testing.assert_allclose(run.final, whole.final, rtol=1e-14)
    for name in ("time", "sum"):
        np.testing.assert_allclose(run.observations[name], whole.observations[name], rtol=1e-14)
    fractions = [part for part, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(seen) >= min(chunks, 4)


def test_the_program_is_compiled_once():
    compiled = []

    class Counted(Flow):
        def solve(self, state, time, length):
            compiled.append(1)
            return state + length

    simulate_in_chunks(ExactFlow(Counted()), START, MESH, chunks=1)
    once = len(compiled)
    simulate_in_chunks(ExactFlow(Counted()), START, MESH, chunks=12)
    assert len(compiled) == 2 * once


def test_ctrl_c_keeps_what_was_computed_and_the_restart_goes_on(tmp_path):
    whole = simulate(STEPPER, START, MESH, Add())
    path = tmp_path / "run.npz"

    def impatient(part, time):
        if part > 0.5:
            raise KeyboardInterrupt

    first = simulate_in_chunks(STEPPER, START, MESH, Add(), chunks=10, progress=impatient, restart=path)
    assert not first.finished and 0 < first.time < 6.0
    np.testing.assert_allclose(first.states, whole.states[: len(first.saved)], rtol=1e-14)
    state, time, _ = load_restart(path, START)
    assert time == first.time
    np.testing.assert_array_equal(state, first.final)
    second = simulate_in_chunks(STEPPER, START, MESH, Add(), chunks=10, restart=path)
    assert second.finished and first.saved + second.saved == (0, 1, 2, 3)
    np.testing.assert_allclose(second.final, whole.final, rtol=1e-14)
    with pytest.raises(ValueError, match="got a restart of a mesh"):
        simulate_in_chunks(STEPPER, START, MESH, Add(), chunks=4, restart=path)


def test_a_run_that_diverges_ends_early_and_says_when():
    class Explode(Flow):
        def solve(self, state, time, length):
            return jnp.where(time >= 3.0, jnp.inf, state)

    run = simulate_in_chunks(ExactFlow(Explode()), START, MESH, chunks=12)
    assert run.status == Status.NOT_FINITE
    assert 3.0 < run.first_bad_time <= 5.25
    assert run.time < 6.0 and not run.finished and run.saved == (0, 1, 2)


def test_a_recorded_mesh_and_no_chunk_are_refused():
    recorded = adaptive_mesh(STEPPER, START, 0.0, [1.0])
    with pytest.raises(ValueError, match=r"got a recorded mesh; expected .*; do: "):
        simulate_in_chunks(STEPPER, START, recorded)
    with pytest.raises(ValueError, match=r"got 0 chunks; expected .*; do: "):
        simulate_in_chunks(STEPPER, START, MESH, chunks=0)


GRID = VoxelGrid(np.ones((6, 3, 2), bool), 1.0)
BUMP = jnp.arange(36.0) % 7


def explicit(coefficient):
    return ExplicitRungeKutta(Diffusion(GRID, coefficient), RK4)


@pytest.mark.parametrize(("coefficient", "save", "status"), [(1e6, 60.0, Status.NOT_FINITE), (1.0, 3.0, Status.UNSTABLE_STEP)])
def test_a_failure_stays_one_when_the_run_is_taken_up_again(tmp_path, coefficient, save, status):
    mesh = time_mesh(0.0, [save], 1.0)
    runs = [simulate_in_chunks(explicit(coefficient), BUMP, mesh, chunks=3, restart=tmp_path / "run.npz") for _ in range(2)]
    for run in runs:
        assert run.status == status and run.finished == (status == Status.UNSTABLE_STEP)
        with pytest.raises(SimulationError, match="the explicit limit of the stepper"):
            run.raise_for_status()
    if status == Status.UNSTABLE_STEP:
        assert np.isfinite(runs[1].final).all() and runs[1].saved == ()
        np.testing.assert_array_equal(runs[1].final, runs[0].final)


@pytest.mark.parametrize(
    ("differs", "changed"),
    [
        ("events", {"events": (0.7,)}),
        ("stepper", {"rate": 0.4}),
        ("start state", {"start": START + 1}),
        ("steps", {"save": (0.51, 1.0)}),
        ("start state and stepper", {"rate": 0.4, "start": START + 1}),
        ("jump", {"jump": type("Other", (Add,), {})()}),
    ],
)
def test_a_restart_of_another_run_is_refused_and_says_what_differs(tmp_path, differs, changed):
    def run(rate=0.3, start=START, events=(0.3,), save=(0.5, 1.0), jump=None):
        mesh = time_mesh(0.0, save, 0.11, breakpoints=(0.3, 0.7), events=events)
        return simulate_in_chunks(ExactFlow(Grow(number(rate))), start, mesh, jump or Add(), chunks=4, restart=tmp_path / "run.npz")

    run()
    run()
    with pytest.raises(ValueError, match=rf"^got a restart of another run, whose {differs} differed; expected .*; do: ") as caught:
        run(**changed)
    assert "\n" not in str(caught.value)
