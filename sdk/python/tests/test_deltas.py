"""`delta=True` on a real bus: a loop gets what was published, in fewer bytes, also after a loss.

The conformance vectors test each diff.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from bus import Bus

import arqon
from arqon._session import session
from arqon._wire import frames

LINES = [f"line {n} of the constant text" for n in range(100)]


class Received:
    """Counts the bytes of received messages, and drops the given number of the next ones."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.losing = 0

    def decode(self, data: bytes, ordered: bool) -> frames.ServerFrame:
        frame = frames.decode_server_frame(data, ordered)
        if isinstance(frame, list):
            self.sizes.append(len(data))
            if self.losing > 0:
                self.losing -= 1
                return []
        return frame


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Received:
    found = Received()
    monkeypatch.setattr(session, "decode_server_frame", found.decode)
    return found


async def test_other_metadata_does_not_make_messages_lost(bus: Bus) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room("folded-2", delta=True, presence=True, member_meta=0) as loop:
            room = client.room("folded-2")
            for n in range(10):
                await room.publish("n", {"n": n, "lines": LINES}, ack=False)
                await loop.update_meta(n + 1)
            got = [await anext(loop) for _ in range(10)]
            assert [message.signal or message.data["n"] for message in got] == list(range(10))


def _numbered(n: int) -> bytes:
    """Message `n`: about a third of its lines differ from message `n - 3`."""
    lines = [f"{line} is at {(n // 4 + line) // 12} and stays" for line in range(24)]
    return "\n".join([str(n), *lines]).encode()


async def test_bytes_are_the_publishers_whatever_is_lost(bus: Bus, received: Received) -> None:
    """Random losses, filters and a pattern: messages are right; without losses all arrive."""
    chance = random.Random(29)
    count, rooms = 1_500, ["folded-s0", "folded-s1", "folded-s2"]
    even = 'headers["even"] == "True"'

    async def follow(pattern: str, wanted: str = "") -> tuple[list[int], list[str]]:
        got: list[int] = []
        gaps: list[str] = []
        async with arqon.connect(bus.url, token=bus.token()) as client:
            # The end may be lost too: it is published again until the loop gets it.
            async with client.room(pattern, delta=True, filter=wanted, buffer=8_192) as loop:
                ready.release()
                async for message in loop:
                    if message.signal is not None:
                        gaps.append(message.signal.reason)
                    elif message.type == "end":
                        return got, gaps
                    else:
                        n = int(message.headers["n"])
                        assert message.raw == _numbered(n), f"message {n}"
                        assert not got or n > got[-1]
                        got.append(n)
        raise AssertionError("the loop ended")

    ready = asyncio.Semaphore(0)
    tasks = [
        asyncio.create_task(follow(*how))
        for how in [("folded-s*",), ("folded-s*", even), (rooms[1],)]
    ]
    async with arqon.connect(bus.url, token=bus.token()) as writer:
        for _ in tasks:
            await ready.acquire()

        async def publish(first: int, end: int) -> None:
            for n in range(first, end):
                headers = {"n": str(n), "x-key": f"k{n % 4}", "even": str(n % 2 == 0)}
                if received.losing == 0 and first > 0 and chance.random() < 1 / 40:
                    received.losing = 1
                await writer.room(rooms[n % 3]).publish(
                    "at", _numbered(n), headers=headers, ack=n % 50 == 0
                )

        await publish(0, count // 2)
        whole = [len(_numbered(n)) for n in range(count // 2)]
        assert sum(received.sizes) < 0.7 * (2.5 / 3 + 1) * sum(whole), "most are diffs"
        await publish(count // 2, count)
        while not all(task.done() for task in tasks):
            for room in rooms:
                await writer.room(room).publish("end", b"", headers={"even": "True"})
            await asyncio.sleep(0)
    outcomes = [task.result() for task in tasks]
    expected = [range(count), range(0, count, 2), range(1, count, 3)]
    lost = 0
    for (got, gaps), all_of in zip(outcomes, expected, strict=True):
        assert set(got) <= set(all_of)
        assert set(gaps) <= {"delta"}
        assert len(got) > len(all_of) / 2
        lost += len(gaps)
        assert [n for n in got if n < count // 2] == [n for n in all_of if n < count // 2]
    assert lost > 0, "each message that cannot be rebuilt is a gap"
