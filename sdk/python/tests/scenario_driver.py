"""Runs one scenario of `sdk/conformance/scenarios` with this SDK.

It does the client steps, then compares what the program saw with what the scenario expects. The
scripted server is the other side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from scenario_server import Run, ScenarioServer
from waits import until

import arqon
from arqon.postgres import subscribe_since
from arqon.presence import MemberTable
from arqon.reducers import WatchedValues, watch

# Any text in the form of a token: the scripted server does not check it.
TOKEN: Final = "e30.e30.c2ln"
# The ways that each scenario goes.
Transport: TypeAlias = Literal["websocket", "http"]
TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "http")
# A scenario, or a part of it, as in its file. The server has checked it.
Plain: TypeAlias = dict[str, Any]


@dataclass(eq=False)
class Loop:
    """One loop over a room."""

    room: arqon.Room
    received: list[Plain] = field(default_factory=list[Plain])
    over: bool = False
    error: str | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True)
class Outcome:
    """An answer, or the reason of the error."""

    answer: Any = None
    error: str | None = None


def shown(message: arqon.Message) -> Plain:
    """A message as scenarios write it."""
    signal = message.signal
    if signal is not None:
        return {"signal": signal.kind, "reason": signal.reason, "room": message.room}
    data = message.data.hex() if isinstance(message.data, bytes) else message.data
    names = ("room", "type", "sender", "offset", "epoch", "message_id", "headers")
    return {"data": data, **{name: getattr(message, name) for name in names}}


def shown_status(status: arqon.Status) -> Any:
    """A status as scenarios write it."""
    error = None if status.error is None else status.error.reason
    if status.state == "waiting":
        return {"waiting": error, "retry_in_ms": status.retry_in_ms}
    return {"closed": error} if status.state == "closed" and error is not None else status.state


def part_of(wanted: Any, found: Any) -> Any:
    """The members of `found` that `wanted` has. Others are not compared."""
    return {name: found.get(name) for name in wanted} if isinstance(wanted, dict) else found


async def outcome_of(work: Awaitable[Any]) -> Outcome:
    """Only errors of the SDK are outcomes."""
    try:
        return Outcome(answer=await work)
    except arqon.ArqonError as error:
        return Outcome(error=error.reason)


def check_outcome(
    outcome: Outcome, error: str | None = None, offset: int | None = None, result: Any = None
) -> None:
    """Compares an outcome with the expectation of a step."""
    assert outcome.error == error
    if error is None and offset is not None:
        assert outcome.answer == offset
    if error is None and result is not None:
        assert outcome.answer == result


class Program:
    """Runs the program of one scenario. Each step is a method; an unknown step fails."""

    def __init__(self, run: Run, transport: Transport, options: Plain) -> None:
        """Does nothing yet."""
        self._run = run
        self._options = {"transport": transport, **options}
        self._delta = self._options.pop("delta", False)
        self._positions = self._options.pop("positions", False)
        self._bus: arqon.Connection | None = None
        self._requests: dict[str, asyncio.Task[Outcome]] = {}
        self.loops: dict[str, Loop] = {}
        self.watched: dict[str, WatchedValues] = {}
        self._watches = AsyncExitStack()
        self.statuses: list[Any] = []
        self.errors: list[str] = []

    @property
    def bus(self) -> arqon.Connection:
        """The connection."""
        assert self._bus is not None, "no step has connected"
        return self._bus

    async def step(self, step: Plain) -> None:
        """Does one step."""
        arguments = dict(step)
        how = getattr(self, "do_" + arguments.pop("do"), None)
        assert how is not None, f"no such step: {step}"
        try:
            await how(**arguments)
        except AssertionError as error:
            report = await self._run.report()
            raise AssertionError(f"{step}: {error}; the server: {report['failures']}") from error

    async def finish(self) -> None:
        """Closes what is open and waits until every loop has ended."""
        if self._bus is not None:
            await self._bus.close()
        await self._watches.aclose()
        tasks = [loop.task for loop in self.loops.values() if loop.task is not None]
        await asyncio.gather(*tasks, *self._requests.values())

    async def do_connect(self, error: str | None = None) -> None:
        self._bus = arqon.connect(self._run.url, **self._connect_options())
        check_outcome(await outcome_of(self._bus), error)

    async def do_subscribe(
        self,
        room: str,
        ready: bool = True,
        error: str | None = None,
        position: Plain | None = None,
        **options: Any,
    ) -> None:
        name = options.pop("as", None) or room
        if position is not None:
            options["position"] = arqon.Position(**position)
        positions = self._positions and room.endswith("*")
        loop = Loop(self.bus.room(room, delta=self._delta, positions=positions, **options))
        self.loops[name] = loop
        loop.task = asyncio.create_task(self._read(loop))
        if ready:
            await until(f"{name} to be ready", lambda: loop.ready.is_set() or loop.over)
            # A loop that was ready and has ended since counts as ready.
            assert (None if loop.ready.is_set() else loop.error) == error

    async def do_since(self, room: str, taken: str, **options: Any) -> None:
        loop = Loop(self.bus.room(room))
        self.loops[options.pop("as", None) or room] = loop
        assert not options
        loop.task = asyncio.create_task(self._read_since(loop, room, taken))

    async def do_watch(
        self, room: str, prefix: str = "", error: str | None = None, **options: Any
    ) -> None:
        watched = watch(self.bus.room(room), prefix)
        self.watched[options.pop("as", None) or room] = watched
        assert not options
        check_outcome(await outcome_of(self._watches.enter_async_context(watched)), error)

    async def do_leave(self, of: str) -> None:
        self.loops[of].leave.set()

    async def do_publish(self, room: str, type: str, data: Any = b"", **options: Any) -> None:
        await self._request(self.bus.room(room).publish, (type, data), options)

    async def do_command(self, room: str, name: str, data: Any = None, **options: Any) -> None:
        await self._request(self.bus.room(room).command, (name, data), options)

    async def do_settled(self, of: str, **expect: Any) -> None:
        check_outcome(await self._requests[of], **expect)

    async def do_update(self, of: str, member_meta: Any, error: str | None = None) -> None:
        check_outcome(await outcome_of(self.loops[of].room.update_meta(member_meta)), error)

    async def do_await(self, **condition: Any) -> None:
        await until(str(condition), lambda: self._holds(**condition))

    async def do_signal(self, name: str) -> None:
        await self._run.signal(name)

    async def do_close(self) -> None:
        await self.bus.close()

    def _connect_options(self) -> Any:
        options = dict(self._options)
        random, tokens = options.pop("random", 0.5), options.pop("tokens", None)
        backoff = {"base_ms": 4, "max_ms": 16, **options.pop("backoff", {})}
        options |= {"backoff": arqon.Backoff(**backoff), "random": lambda: random}
        options["on_status"] = lambda status: self.statuses.append(shown_status(status))
        options["on_error"] = lambda error: self.errors.append(error.reason)
        if tokens is None:
            options.setdefault("token", TOKEN)
            return options
        left = iter(tokens)

        async def get_token() -> str:
            following = next(left, {"error": "the scenario has no more tokens"})
            if isinstance(following, str):
                return following
            if following.get("hang"):
                await asyncio.Event().wait()
            raise RuntimeError(following["error"])

        options["get_token"] = get_token
        return options

    async def _read(self, loop: Loop) -> None:
        try:
            async with loop.room as room:
                loop.ready.set()
                await self._hear(loop, room)
        except arqon.ArqonError as error:
            loop.error = error.reason
        finally:
            loop.over = True

    async def _read_since(self, loop: Loop, room: str, taken: str) -> None:
        try:
            async for message in subscribe_since(self.bus, room, taken):
                loop.received.append(shown(message))
        except arqon.ArqonError as error:
            loop.error = error.reason
        finally:
            loop.over = True

    async def _hear(self, loop: Loop, room: arqon.Room) -> None:
        """Until the loop ends or the program leaves it."""

        async def hear() -> None:
            async for message in room:
                loop.received.append(shown(message))

        hearing, leaving = asyncio.create_task(hear()), asyncio.create_task(loop.leave.wait())
        try:
            await asyncio.wait((hearing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                hearing.result()
        finally:
            for task in (hearing, leaving):
                task.cancel()
            await asyncio.gather(hearing, leaving, return_exceptions=True)

    async def _request(
        self, send: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], options: Plain
    ) -> None:
        name = options.pop("as", None)
        expect = {key: options.pop(key) for key in ("error", "offset", "result") if key in options}
        request = asyncio.ensure_future(outcome_of(send(*arguments, **options)))
        if name is not None:
            self._requests[name] = request
            # The request is sent before the next step begins.
            await asyncio.sleep(0)
        else:
            check_outcome(await request, **expect)

    def _holds(
        self,
        of: str = "",
        messages: int | None = None,
        status: str | None = None,
        times: int = 1,
        errors: int | None = None,
        members: list[str] | None = None,
        ended: str | None = None,
        version: int | None = None,
    ) -> bool:
        if version is not None:
            return self.watched[of].version == version
        if status is not None:
            fitting = [
                s for s in self.statuses if s == status or (isinstance(s, dict) and status in s)
            ]
            return len(fitting) >= times
        if errors is not None:
            return len(self.errors) >= errors
        if ended is not None:
            return self.loops[ended].over
        loop = self.loops[of]
        if messages is not None:
            return len(loop.received) >= messages
        return sorted(member.connection_id for member in loop.room.members()) == members


def table_of(loop: Loop) -> MemberTable:
    """The members of a loop, also after its end, when `members()` is empty."""
    entry = loop.room._entry
    assert entry is not None
    assert entry.table is not None
    return entry.table


def position_of(loop: Loop) -> Plain | None:
    """A position as scenarios write it."""
    position = loop.room.position
    return None if position is None else {"offset": position.offset, "epoch": position.epoch}


def compare(program: Program, expect: Plain) -> None:
    """Compares the program with everything that the scenario expects."""
    loops = program.loops
    found: dict[str, Callable[[Any], Any]] = {
        "statuses": lambda _: program.statuses,
        "errors": lambda _: program.errors,
        "messages": lambda wanted: {
            name: [
                part_of(wanted[name][at] if at < len(wanted[name]) else None, message)
                for at, message in enumerate(loops[name].received)
            ]
            for name in wanted
        },
        "ended": lambda wanted: {name: loops[name].error for name in wanted},
        "members": lambda wanted: {
            name: {id: member.meta for id, member in table_of(loops[name]).members.items()}
            for name in wanted
        },
        "users": lambda wanted: {name: table_of(loops[name]).users for name in wanted},
        "position": lambda wanted: {name: position_of(loops[name]) for name in wanted},
        "values": lambda wanted: {name: dict(program.watched[name].entries()) for name in wanted},
        "recovered": lambda wanted: {name: loops[name].room.recovered for name in wanted},
    }
    # An error is unexpected unless the scenario lists it.
    for name, wanted in {"errors": [], **expect}.items():
        if name not in ("connections", "tokens"):
            assert found[name](wanted) == wanted, name


async def run_scenario(server: ScenarioServer, scenario: Plain, transport: Transport) -> None:
    """Plays a scenario over one transport.

    Raises AssertionError for the first difference from the scenario.
    """
    client, expect = scenario["client"], scenario["expect"]
    run = await server.begin(scenario["name"])
    program = Program(run, transport, client.get("options", {}))
    try:
        for step in client["steps"]:
            await program.step(step)
        await run.over()
    finally:
        await program.finish()
    report = await run.report()
    assert report["failures"] == [], report["failures"]
    assert report["fulfilled"]
    compare(program, expect)
    assert len(report["connections"]) == expect["connections"]
    if "tokens" in expect:
        assert [connection["token"] for connection in report["connections"]] == expect["tokens"]
