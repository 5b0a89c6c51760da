"""Loops that begin with stored messages, and waits for locks, on a real bus.

`bus.toml` limits recovery by SUB: only the history returns all stored messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from bus import Bus, CuttableProxy
from peer import TOKEN, Peer, ack, requests
from waits import until
from websockets.asyncio.server import ServerConnection

import arqon
from arqon._gen import Envelope, Event, History, Subscribe, SystemSignal

pytestmark = pytest.mark.usefixtures("nothing_left")
NEW = -1


async def store(room: arqon.Room, numbers: range) -> list[int]:
    """Stores messages with these numbers as data. Returns their offsets."""
    return list(await asyncio.gather(*(room.publish("n", n) for n in numbers)))


async def take(received: AsyncIterator[arqon.Message], count: int) -> list[Any]:
    """Numbers of messages, reasons of GAPs."""
    items = [await anext(received) for _ in range(count)]
    return [m.data if m.signal is None else m.signal.reason for m in items]


async def begins(bus: Bus, name: str, expected: list[Any], **options: Any) -> None:
    """A loop with these options yields the stored messages, then what is published."""
    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room(name).subscribe(**options) as received:
            assert await take(received, len(expected)) == expected, options
            await client.room(name).publish("n", NEW)
            assert await take(received, 1) == [NEW], options


async def test_every_way_to_begin(bus: Bus) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        offsets = await store(client.room("kept-places"), range(250))
    stored: list[Any] = list(range(250))
    for options, first in (
        ({"from_": "start"}, 0),
        ({"from_": 0}, 0),
        ({"from_": offsets[9]}, 10),
        ({"from_": offsets[239]}, 240),
        ({"last": 1}, -1),
        ({"last": 150}, -150),
        ({"last": 10_000}, 0),
        ({"since": "1h"}, 0),
        ({"since": 3_600}, 0),
        ({"since": timedelta(hours=1)}, 0),
    ):
        await begins(bus, "kept-places", stored[first:], **options)
        stored.append(NEW)


async def test_ages_and_edges(bus: Bus) -> None:
    await begins(bus, "kept-empty", [], from_="start")
    await begins(bus, "kept-empty", [NEW], last=5)
    async with arqon.connect(bus.url, token=bus.token()) as client:
        room, clock = client.room("kept-ages"), client._driver.clock
        first = (await store(room, range(3)))[0]
        newest_ms = (await room.history()).messages[-1].timestamp_ms
        await until("the bus's clock moves", lambda: clock.now_ms() > newest_ms + 2)
        await store(room, range(3, 5))
        # The age reaches back to just after the last old message, by the bus's clock.
        now_ms = clock.now_ms()
        clock.now_ms = lambda: now_ms  # type: ignore[method-assign]
        age = timedelta(milliseconds=now_ms - newest_ms - 1)
        async with client.room("kept-ages", since=age) as received:
            assert await take(received, 2) == [3, 4]
            await room.publish("n", NEW)
            assert await take(received, 1) == [NEW]
    # No message has this offset: the answer to the SUB says that nothing is missing.
    await begins(bus, "kept-ages", [0, 1, 2, 3, 4, NEW], from_=first - 1)


def stored(offset: int) -> Envelope:
    """A message of the room `r`."""
    event = Event(type="n", data=str(offset).encode(), content_type="application/json")
    return Envelope(room_id="r", sender_id="ann", offset=offset, event=event)


class StoredRoom(Peer):
    """The room `r` with message 3. `answer` answers its second SUB."""

    def __init__(self, *answer: Callable[[Subscribe], bytes], before_page: bytes = b"") -> None:
        super().__init__(self._play)
        self._answer = answer
        self._before_page = before_page

    async def _play(self, _: Peer, socket: ServerConnection) -> None:
        subs = 0
        async for request in requests(socket):
            if isinstance(request, Envelope):
                if self._before_page:
                    await socket.send(self._before_page)
                page = History(messages=[stored(3)], offset=3, epoch="e1").SerializeToString()
                await socket.send(ack(request.request_id, result=page))
            elif isinstance(request, Subscribe):
                subs += 1
                first = ack(request.request_id, offset=3, result=b'{"offset": 3, "epoch": "e1"}')
                for reply in [first] if subs == 1 else [one(request) for one in self._answer]:
                    await socket.send(reply)


def message(offset: int) -> bytes:
    """A message of the room `r` on the wire."""
    return b"\x04" + stored(offset).SerializeToString()


async def test_a_sub_behind_the_history_that_is_refused_for_good_ends_the_loop() -> None:
    room = StoredRoom(
        lambda sub: ack(sub.request_id, code=403, reason="not-granted"),
        lambda _: message(5),
    )
    async with room as peer, arqon.connect(peer.url, token=TOKEN) as client:
        async with client.room("r", from_="start") as received:
            assert await take(received, 1) == [3]
            with pytest.raises(arqon.NotGranted):
                await anext(received)


async def test_changes_of_the_state_that_are_lost_during_a_history_read_are_reported() -> None:
    gap = Envelope(room_id="r")
    gap.signal.kind, gap.signal.reason = SystemSignal.KIND_GAP, "changes-lost"
    room = StoredRoom(before_page=b"\x04" + gap.SerializeToString())
    async with room as peer, arqon.connect(peer.url, token=TOKEN) as client:
        async with client.room("r", from_="start") as received:
            assert await take(received, 1) == ["changes-lost"]
            assert await take(received, 1) == [3]


async def test_trimmed_messages_are_reported(bus: Bus) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        offsets = await store(client.room("short-1"), range(20))
        await begins(bus, "short-1", list(range(15, 20)), from_="start")
        async with client.room("short-1", from_=offsets[3]) as received:
            assert await take(received, 1) == ["history-trimmed"]
            assert received.recovered is False
        async with client.room("short-2", from_=1_000_000) as received:
            assert await take(received, 1) == ["offset-ahead"]


async def test_what_is_refused(bus: Bus) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        for options in ({"from_": "start"}, {"from_": 7}, {"last": 3}, {"since": "10m"}):
            with pytest.raises(arqon.NotDurable):
                async with client.room("plain", **options):
                    pass
        wrong: tuple[tuple[dict[str, Any], str], ...] = (
            ({"from_": "start", "last": 1}, "one of from_, last, since and position"),
            ({"since": "1h", "position": arqon.Position(1)}, "one of from_, last, since"),
            ({"from_": -1}, "from_ is -1"),
            ({"from_": "end"}, "from_ is 'end'; expected"),
            ({"last": 0}, "last is 0"),
            ({"since": 0}, "since is 0"),
            ({"since": "10 minutes"}, "since is '10 minutes'; expected seconds"),
        )
        for options, pattern in wrong:
            with pytest.raises(ValueError, match=pattern):
                client.room("kept-refused", **options)
        async with client.room("kept-refused"):
            with pytest.raises(ValueError, match="where to begin is for the first loop only"):
                async with client.room("kept-refused", last=1):
                    pass


async def test_slow_under_load_and_over_broken_connections(bus: Bus) -> None:
    fast = arqon.Backoff(base_ms=5, max_ms=20)
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(bus.url, token=bus.token()) as writer,
        arqon.connect(proxy.url, token=bus.token(), backoff=fast) as client,
    ):
        room, stored = writer.room("kept-unbroken"), 700
        taken: list[Any] = []
        await store(room, range(stored))
        # So small that a moment's inattention would end the loop.
        received = client.room(room.id, from_="start", presence=True, buffer=16)
        async with received:
            while len(taken) < 1_500:
                taken += await take(received, 1)
                if len(taken) % 100 == 50 and len(taken) < 1_000:
                    proxy.cut()
                if len(taken) % 10 == 0 and stored < 1_500:
                    await store(room, range(stored, stored + 20))
                    stored += 20
            assert taken == list(range(1_500))
            assert received.member_count().connections == 1


async def test_leaving_in_the_middle(bus: Bus) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        room = client.room("kept-left")
        await store(room, range(400))
        async with client.room(room.id, from_="start", buffer=4) as received:
            assert await take(received, 2) == [0, 1]
        async with client.room(room.id, last=300, buffer=4) as received:
            assert await take(received, 2) == [100, 101]
        got: list[Any] = []
        done = asyncio.Event()

        def hear(message: arqon.Message) -> None:
            got.append(message.data)
            if len(got) == 400:
                done.set()

        async with client.room(room.id, from_="start").listen(hear):
            await done.wait()
        assert got == list(range(400))


async def test_a_lock_is_waited_for(bus: Bus, room_id: str) -> None:
    async with (
        arqon.connect(bus.url, token=bus.token("ann")) as ann,
        arqon.connect(bus.url, token=bus.token("bob")) as bob,
    ):
        state, his = ann.room(room_id).state, bob.room(room_id).state
        async with state.lock(ttl_ms=60_000) as held:
            with pytest.raises(arqon.Locked, match="ann"):
                async with his.lock(wait=0.12):
                    pass

            async def wait() -> int:
                async with his.lock(wait="60s") as lock:
                    return lock.fence

            waiting = asyncio.create_task(wait())
            cancelled = asyncio.create_task(wait())
            await asyncio.sleep(0.1)
            assert not waiting.done()
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        assert await asyncio.wait_for(waiting, 60) > held.fence
        # The cancelled wait holds nothing.
        async with state.lock(wait=timedelta(seconds=60)):
            pass
        with pytest.raises(ValueError, match="wait is -1; expected seconds"):
            his.lock(wait=-1)
