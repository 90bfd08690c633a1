"""All interleavings of threads, and all stale values that their loads may return."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from tests.model.machine import Call, Memory, Store, Thread, View, Violation, join
from tests.model.report import Found, Line
from tests.model.search import Broken, search
from tests.model.state import State, after_fence, after_load, at_time, got, with_thread
from tests.model.steps import ACQUIRE, GHOSTS, RELAXED, RELEASE, SEQ_CST, Step


class Explorer:
    """Explores one scenario.

    Args:
        initial: each location's first value.
        programs: each thread's first body and its arguments, by name.
        may_stop: judges a state in which no thread can go on: "" if it is a good end, else
            what is wrong. Gets the threads and a function that reads a location's newest value.
        first: a thread that runs to its end before the others begin. Sound for one that reads
            nothing of theirs: they may read its older stores all the same.
        stores_kept: how many stores of one location can be read; 0: all. Who waits in a loop
            stores without end: a store is seen, or passed by, when so many newer ones are made.
        newest_only: locations that are read by read-modify-writes alone, which get the newest
            store always: older ones would only make states differ.
    """

    def __init__(
        self,
        initial: Mapping[str, Any],
        programs: Mapping[str, Call],
        *,
        may_stop: Callable[[tuple[Thread, ...], Callable[[str], Any]], str],
        first: str = "",
        stores_kept: int = 0,
        newest_only: tuple[str, ...] = (),
    ) -> None:
        self._index = {name: number for number, name in enumerate(initial)}
        self._stores_kept = [1 if name in newest_only else stores_kept for name in initial]
        self._may_stop = may_stop
        self._first = first
        self._memories: list[Memory] = []
        self._memory_numbers: dict[Memory, int] = {}
        self._positions: dict[tuple[Any, ...], Step | Call | Violation | None] = {}
        nothing = (0,) * len(initial)
        memory = tuple(((value, nothing),) for value in initial.values())
        threads = tuple(
            Thread(name, *call, (), nothing, nothing, nothing) for name, call in programs.items()
        )
        self._initial = State(self._number_of(memory), nothing, threads)

    def explore(self, states_max: int) -> Found:
        """Visit every state; stop at the first one, nearest to the beginning, that breaks a law."""
        try:
            initial = self._settle_all(self._initial)
        except Violation as broken:
            return Found(state_count=1, broken=str(broken))
        found = search(initial, self._steps, self._judge_end, states_max)
        return dataclasses.replace(
            found,
            bodies=frozenset(body.__name__ for body, _, _ in self._positions),
            places=frozenset(s.where for s in self._positions.values() if isinstance(s, Step)),
        )

    # ---- judging ----

    def _judge_end(self, state: State) -> str:
        memory = self._memories[state.memory]
        return self._may_stop(state.threads, lambda name: memory[self._index[name]][-1][0])

    # ---- one step ----

    def _steps(self, state: State) -> Iterator[tuple[Line, State]]:
        for number, thread in enumerate(state.threads):
            if thread.body is None or thread.asleep:
                continue
            step = self._position(thread)
            assert isinstance(step, Step)
            for line, following in self._take(state, number, thread, step):
                try:
                    yield line, self._settle_all(following)
                except Violation as broken:
                    raise Broken(state, str(broken), (line,)) from None
            if thread.name == self._first:
                return

    def _take(
        self, state: State, number: int, thread: Thread, step: Step
    ) -> Iterator[tuple[Line, State]]:
        """Yield each way in which this step can go, with the line that a trace shows."""

        def line(what: str) -> Line:
            return thread.name, step.where, what

        kind, memory = step.kind, self._memories[state.memory]
        if kind == "load":
            at = self._index[step.location]
            stores = memory[at]
            newest = len(stores) - 1
            for time in range(newest, thread.view[at] - 1, -1):
                value = stores[time][0]
                stale = "" if time == newest else f"   (stale: the newest is {stores[-1][0]})"
                read = after_load(thread, at, time, stores[time], step.order)
                what = f"load {step.order} {step.location} -> {value}{stale}"
                yield line(what), with_thread(state, number, got(read, value))
        elif kind == "store":
            what = f"store {step.order} {step.location} = {step.value}"
            yield line(what), self._store(state, number, thread, step, step.value)
        elif kind == "fence":
            yield line(f"fence {step.order}"), after_fence(state, number, thread, step.order)
        elif kind == "compare_exchange":
            yield self._compare_exchange(state, number, thread, step)
        elif kind in ("exchange", "add", "lock"):
            at = self._index[step.location]
            found = memory[at][-1]
            if kind == "lock" and found[0] != 0:
                return
            value = found[0] + step.value if kind == "add" else step.value
            load_order, store_order = ACQUIRE, RELEASE
            if step.order == RELAXED:
                load_order = store_order = RELAXED
            read = after_load(thread, at, len(memory[at]) - 1, found, load_order)
            after = self._store(state, number, read, step._replace(order=store_order), value, found)
            what = f"{kind} {step.location}: {found[0]} -> {value}"
            yield line(what), after
        elif kind == "sleep":
            if memory[self._index[step.location]][-1][0] != step.value:
                yield (
                    line(f"futex_wait {step.location}: changed, EAGAIN"),
                    with_thread(state, number, got(thread, "changed")),
                )
            else:
                yield (
                    line(f"futex_wait {step.location} == {step.value}: sleeps"),
                    with_thread(state, number, thread._replace(asleep=step.location)),
                )
        elif kind == "wake":
            woken = tuple(
                got(other, "woken")._replace(asleep="") if other.asleep == step.location else other
                for other in state.threads
            )
            names = " ".join(o.name for o in state.threads if o.asleep == step.location)
            state = state._replace(threads=woken)
            yield (
                line(f"futex_wake {step.location}: {names or 'nobody'}"),
                with_thread(state, number, got(thread, None)),
            )
        elif kind == "choose":
            for option in step.value:
                yield line(f"{option}"), with_thread(state, number, got(thread, option))
        elif kind == "kill":
            killed = tuple(
                other._replace(body=None, asleep="") if other.name == step.location else other
                for other in state.threads
            )
            # The kernel tells of a death after the dead one's stores.
            seen = next(other.view for other in state.threads if other.name == step.location)
            yield (
                line(f"kill -9 {step.location}"),
                with_thread(
                    state._replace(threads=killed),
                    number,
                    got(thread._replace(view=join(thread.view, seen)), None),
                ),
            )
        elif kind == "until":
            at = self._index[step.location]
            value = memory[at][-1][0]
            if step.value(value):
                read = after_load(thread, at, len(memory[at]) - 1, memory[at][-1], ACQUIRE)
                yield (
                    line(f"goes on: {step.location} is {value}"),
                    with_thread(state, number, got(read, value)),
                )
        else:
            raise AssertionError(kind)

    def _compare_exchange(
        self, state: State, number: int, thread: Thread, step: Step
    ) -> tuple[Line, State]:
        at = self._index[step.location]
        stores = self._memories[state.memory][at]
        (expected, value), found = step.value, stores[-1]
        if found[0] != expected:
            read = after_load(thread, at, len(stores) - 1, found, RELAXED)
            what = f"compare_exchange {step.location}: {found[0]} is not {expected}"
            return (thread.name, step.where, what), with_thread(state, number, got(read, found[0]))
        load_order = ACQUIRE if step.order in (ACQUIRE, SEQ_CST) else RELAXED
        store_order = RELEASE if step.order in (RELEASE, SEQ_CST) else RELAXED
        read = after_load(thread, at, len(stores) - 1, found, load_order)
        after = self._store(state, number, read, step._replace(order=store_order), value, found)
        what = f"compare_exchange {step.location}: {expected} -> {value}"
        return (thread.name, step.where, what), after

    def _store(
        self,
        state: State,
        number: int,
        thread: Thread,
        step: Step,
        value: Any,
        carried: Store | None = None,
    ) -> State:
        at = self._index[step.location]
        memory = self._memories[state.memory]
        time = len(memory[at])
        view = at_time(thread.view, at, time)
        message = view if step.order == RELEASE else at_time(thread.released, at, time)
        if carried is not None:
            message = join(message, carried[1])  # a read-modify-write goes on with the release
        stores = (*memory[at], (value, message))
        after = self._number_of((*memory[:at], stores, *memory[at + 1 :]))
        thread = thread._replace(view=view, acquired=at_time(thread.acquired, at, time))
        result = memory[at][-1][0] if carried is not None else None
        state = with_thread(state._replace(memory=after), number, got(thread, result))
        return self._forget(state, at) if self._stores_kept[at] else state

    def _forget(self, state: State, at: int) -> State:
        """Drop a location's stores that nobody may read, and count the others from 0 again."""
        memory = self._memories[state.memory]
        alive = [thread.view[at] for thread in state.threads if thread.body is not None]
        count = max(min(alive), len(memory[at]) - self._stores_kept[at])
        if count <= 0:
            return state

        def older(view: View) -> View:
            return (*view[:at], max(0, view[at] - count), *view[at + 1 :])

        stores = tuple(tuple((value, older(view)) for value, view in place) for place in memory)
        after = self._number_of((*stores[:at], stores[at][count:], *stores[at + 1 :]))
        threads = tuple(
            thread._replace(
                view=older(thread.view),
                acquired=older(thread.acquired),
                released=older(thread.released),
            )
            for thread in state.threads
        )
        return State(after, older(state.shared), threads)

    # ---- bodies ----

    def _position(self, thread: Thread) -> Step | Call | Violation | None:
        """Replay a body up to where its results end."""
        key = (thread.body, thread.arguments, thread.results)
        if key not in self._positions:
            assert thread.body is not None
            self._positions[key] = _replay(thread.body, thread.arguments, thread.results)
        return self._positions[key]

    def _settle_all(self, state: State) -> State:
        for number in range(len(state.threads)):
            state = self._settle(state, number)
        return state

    def _settle(self, state: State, number: int) -> State:
        """Follow tail calls and ghost steps up to the next step of the algorithm."""
        while True:
            thread = state.threads[number]
            if thread.body is None or thread.asleep:
                return state
            step = self._position(thread)
            if isinstance(step, Violation):
                raise Violation(*step.args)
            if step is None:
                return with_thread(
                    state, number, thread._replace(body=None, arguments=(), results=())
                )
            if not isinstance(step, Step):
                body, arguments = step
                thread = thread._replace(body=body, arguments=arguments, results=())
                state = with_thread(state, number, thread)
            elif step.kind not in GHOSTS:
                return state
            else:
                state = self._take_ghost(state, number, thread, step)

    def _take_ghost(self, state: State, number: int, thread: Thread, step: Step) -> State:
        at = self._index[step.location]
        memory = self._memories[state.memory]
        if step.kind == "ghost":
            return with_thread(state, number, got(thread, memory[at][-1][0]))
        stores = ((step.value, memory[at][0][1]),)
        after = self._number_of((*memory[:at], stores, *memory[at + 1 :]))
        return with_thread(state._replace(memory=after), number, got(thread, None))

    def _number_of(self, memory: Memory) -> int:
        number = self._memory_numbers.setdefault(memory, len(self._memories))
        if number == len(self._memories):
            self._memories.append(memory)
        return number


def _replay(
    body: Callable[..., Any], arguments: tuple[Any, ...], results: tuple[Any, ...]
) -> Step | Call | Violation | None:
    try:
        program = body(*arguments)
        if not isinstance(program, Generator):
            call: Call | None = program
            return call
        step: Step = next(program)
        for result in results:
            step = program.send(result)
    except StopIteration as end:
        following: Call | None = end.value
        return following
    except Violation as broken:
        return broken
    return step
