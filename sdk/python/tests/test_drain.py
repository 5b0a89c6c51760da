"""A real Shield stops under load: clients move to the other with their locks, and no message is
lost or repeated.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from typing import Any

import pytest
from bus import ROOT, CuttableProxy, deno
from waits import pace, until

import arqon

pytestmark = [pytest.mark.nats, pytest.mark.usefixtures("nothing_left")]
READY_SECONDS = 90
STOP_SECONDS = 60
FLAGS = ["--allow-net", "--allow-read", "--allow-write", "--allow-run", "--allow-env"]


class TwoShields:
    """Two real Shields on one NATS; each user has a token."""

    def __init__(self, *users: str) -> None:
        self._users = users
        self.ports: list[int] = []
        self.tokens: dict[str, str] = {}

    async def __aenter__(self) -> TwoShields:
        program = str(ROOT / "tests/two_shields.ts")
        self._process: Process = await asyncio.create_subprocess_exec(
            *deno(), "run", "--no-prompt", *FLAGS, program, *self._users,
            cwd=ROOT, stdin=PIPE, stdout=PIPE,
        )  # fmt: skip
        ready = await self._line(READY_SECONDS)
        self.ports, self.tokens = ready["ports"], ready["tokens"]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def stop(self, number: int) -> int:
        """Sends SIGTERM. Returns its exit code when it has exited."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"stop {number}\n".encode())
        code = (await self._line(STOP_SECONDS))["code"]
        assert isinstance(code, int)
        return code

    async def _line(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        if not line:
            raise RuntimeError("the Shields ended; their log is above")
        parsed: dict[str, Any] = json.loads(line)
        return parsed


async def publish_until(client: arqon.Connection, enough: asyncio.Event) -> list[int]:
    """Publishes 0, 1, 2, … one after another. Returns what it published."""
    count = 0
    while not enough.is_set():
        await client.room("lobby").publish("n", count)
        count += 1
    return list(range(count))


async def collect(room: arqon.Room, got: dict[str, list[int]]) -> None:
    """Collects what every sender sent, until the message of type `end`."""
    async for message in room:
        assert not message.is_gap
        if message.type == "end":
            return
        got.setdefault(message.sender, []).append(message.data)


async def compete(client: arqon.Connection, enough: asyncio.Event) -> int:
    """Requests the lock of another client repeatedly. Returns the number of refusals."""
    refused = 0
    while not enough.is_set():
        try:
            await client.room("locked").state.acquire_lock(ttl_ms=60_000)
        except arqon.Locked:
            refused += 1
        else:
            raise AssertionError(f"it was free, after {refused} refusals")
        await pace(0.005)
    return refused


async def moved(client: arqon.Connection) -> None:
    # A member keeps its connection id.
    before = client.node_id
    await until(
        f"open, and not on {before}",
        lambda: client.node_id != before and client.status.state == "open",
    )


async def test_sigterm_under_load_loses_and_repeats_nothing() -> None:
    # The balancer sends new connections to the second Shield once the first is to stop.
    async with (
        TwoShields("ann", "bob", "eve") as shields,
        CuttableProxy(shields.ports[0]) as proxy,
        arqon.connect(proxy.url, token=shields.tokens["ann"]) as ann,
        arqon.connect(proxy.url, token=shields.tokens["bob"]) as bob,
        arqon.connect(f"ws://127.0.0.1:{shields.ports[1]}", token=shields.tokens["eve"]) as eve,
        ann.room("lobby", presence=True, buffer=100_000) as near,
        eve.room("lobby", presence=True, observer=True, buffer=100_000) as far,
    ):
        assert (ann.node_id, bob.node_id, eve.node_id) == ("one", "one", "two")
        # A Shield learns of the other Shield's members after a delay.
        await until("ann is seen", lambda: [one.user_id for one in far.members()] == ["ann"])
        changes = far.presence()
        assert (await anext(changes)).kind == "join"
        got_near: dict[str, list[int]] = {}
        got_far: dict[str, list[int]] = {}
        reading = [
            asyncio.ensure_future(collect(near, got_near)),
            asyncio.ensure_future(collect(far, got_far)),
        ]
        received: list[object] = []
        async with (
            # The lock of a member ends when its Shield reports that it has left.
            ann.room("locked", presence=True) as locked,
            locked.state.lock(ttl_ms=60_000) as lock,
            bob.room("lobby", buffer=100_000).listen(received.append),
        ):
            enough = asyncio.Event()
            competing = asyncio.ensure_future(compete(eve, enough))
            sending = [asyncio.ensure_future(publish_until(c, enough)) for c in (bob, eve)]
            await until(
                "a hundred messages of each",
                lambda: all(len(got_near.get(user, [])) >= 100 for user in ("bob", "eve")),
            )
            proxy.target = shields.ports[1]
            stopping = asyncio.ensure_future(shields.stop(0))
            await asyncio.gather(moved(ann), moved(bob))
            assert await stopping == 0
            enough.set()
            sent = {"bob": await sending[0], "eve": await sending[1]}
            await bob.room("lobby").publish("end")
            await asyncio.wait_for(asyncio.gather(*reading), STOP_SECONDS)
            assert await competing > 0
            # The Brain knows that the connection with the lock has ended.
            await locked.state.set("k", 1, fence=lock.fence)
            assert not lock.lost.is_set()
        assert (ann.node_id, bob.node_id) == ("two", "two")
        assert got_near == sent, "the client that moved"
        assert got_far == sent, "the client that stayed"
        assert not any(isinstance(m, arqon.Message) and m.is_gap for m in received)
        assert len(received) in (sum(map(len, sent.values())), sum(map(len, sent.values())) + 1)
        await ann.close()
        change = await anext(changes)
        last = (change.kind, change.member.user_id)
        assert last == ("leave", "ann"), "no member saw it leave while it moved"
