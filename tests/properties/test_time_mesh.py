"""Where steps go, for any calendar."""

from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from solvers import ExactFlow, Flow, Jump, simulate, time_mesh
from tests.problems import number, quick_jit

DAYS = st.floats(-5.0, 40.0).map(lambda day: round(day, 2))


@st.composite
def calendars(draw):
    """Start, save times, longest step, events and breakpoints, with coincidences more likely than in life."""
    start = draw(st.floats(-3.0, 3.0).map(lambda day: round(day, 2)))
    save = sorted(
        draw(st.sets(st.floats(start, 35.0).map(lambda day: round(day, 2)).filter(lambda day: day >= start), min_size=1, max_size=4))
    )
    marks = st.one_of(DAYS, st.sampled_from([start, *save]))
    events = draw(st.lists(marks, max_size=6))
    breakpoints = draw(st.lists(st.one_of(marks, st.sampled_from([start, *events])), max_size=4))
    return start, save, draw(st.floats(0.3, 7.0)), events, breakpoints


def flat(mesh):
    return (np.asarray(table).reshape(-1) for table in (mesh.start, mesh.length, mesh.event))


@given(calendars())
def test_steps_tile_the_span_and_none_straddles_a_mark(calendar):
    start, save, max_step, events, breakpoints = calendar
    mesh = time_mesh(start, save, max_step, events, breakpoints)
    begin, length, _ = flat(mesh)
    moving = length > 0
    assert mesh.steps == moving.sum()
    assert length.min() >= 0
    assert length.max() <= max_step * (1 + 1e-6)
    np.testing.assert_allclose(length.sum(), save[-1] - start, rtol=0, atol=1e-12 * max(1, save[-1] - start))
    end = begin + length
    if moving.any():
        assert begin[moving][0] == start
        np.testing.assert_allclose(begin[moving][1:], end[moving][:-1], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(mesh.times, end[moving])
    for mark in (*save, *events, *breakpoints):
        assert not np.any((begin < mark - 1e-9) & (mark + 1e-9 < end))
        if start < mark < save[-1]:
            assert mark in begin[moving]


@given(calendars())
def test_every_event_of_the_span_happens_once_at_its_time_and_in_order(calendar):
    start, save, max_step, events, breakpoints = calendar
    begin, length, event = flat(time_mesh(start, save, max_step, events, breakpoints))
    happened = event[event >= 0]
    inside = [i for i, time in enumerate(events) if start <= time <= save[-1]]
    assert sorted(happened) == inside
    np.testing.assert_allclose((begin + length)[event >= 0], np.array(events)[happened], rtol=0, atol=1e-12)
    assert all((events[i], i) < (events[j], j) for i, j in pairwise(happened))


@given(calendars())
def test_states_are_saved_at_their_times_and_before_the_events_of_that_time(calendar):
    start, save, max_step, events, breakpoints = calendar
    mesh = time_mesh(start, save, max_step, events, breakpoints)
    _, blocks, steps = mesh.length.shape
    _, length, event = flat(mesh)
    assert len(mesh.saved) == len(save) and list(mesh.saved) == sorted(set(mesh.saved))
    for time, group in zip(save, mesh.saved):
        so_far = (group + 1) * blocks * steps
        np.testing.assert_allclose(length[:so_far].sum(), time - start, rtol=0, atol=1e-12 * max(1, time - start))
        happened = set(event[:so_far][event[:so_far] >= 0])
        assert happened == {i for i, at in enumerate(events) if start <= at < time}


class Clock(Flow):
    """Time itself as the first number of a state of two; the second is left to the events."""

    def solve(self, state, time, length):
        return state.at[0].add(length)


class Note(Jump):
    """Appends the event's number to a decimal register."""

    def apply(self, state, event):
        return state.at[1].set(state[1] * 10 + event + 1)


def run(start, save, max_step, events=()):
    mesh = time_mesh(start, save, max_step, events)
    return mesh, quick_jit(
        lambda state: simulate(ExactFlow(Clock()), state, mesh, Note(), observe=lambda time, state: jnp.stack([time, *state]))
    )(jnp.stack([number(start), number(0.0)]))


def test_events_at_the_start_at_a_save_and_at_the_end():
    """Numbers 1 to 6 in order of time; a state is saved before what happens at that very time, and the end state after all."""
    mesh, solution = run(1.0, [1.0, 2.5, 4.0], 1.0, [1.0, 1.7, 2.5, 2.5, 3.0, 4.0, 4.5, 0.5])
    np.testing.assert_allclose(solution.states[:, 0], [1.0, 2.5, 4.0])
    np.testing.assert_array_equal(solution.states[:, 1], [0, 12, 12345])
    np.testing.assert_array_equal(solution.final, [4.0, 123456])
    assert solution.status == 0
    assert solution.observations.shape == (mesh.steps, 3)
    np.testing.assert_allclose(solution.observations[:, 0], mesh.times)
    np.testing.assert_allclose(solution.observations[:, 1], mesh.times)
    # An observer sees the state before the event that ends its step.
    np.testing.assert_allclose(mesh.times, [1.7, 2.5, 3.0, 4.0])
    np.testing.assert_array_equal(solution.observations[:, 2], [1, 12, 1234, 12345])


def test_a_span_of_length_zero_returns_the_initial_state():
    mesh, solution = run(2.0, [2.0], 1.0, [2.0])
    assert mesh.steps == 0
    np.testing.assert_array_equal(solution.states, [[2.0, 0.0]])
    np.testing.assert_array_equal(solution.final, [2.0, 1.0])
    assert solution.observations.shape == (0, 3)
