"""`delta=True` on a real bus: a loop gets what was published, in fewer bytes, also after a loss.

What becomes of each diff is in the conformance vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bus import Bus

import arqon
from arqon._session import session
from arqon._wire import frames

CONFIG = """
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[[rooms]]
room = "folded*"
delta = "fossil"
"""
LINES = [f"line {n} of what does not change" for n in range(100)]
WHOLE_BYTES = sum(map(len, LINES))


class Heard:
    """The bytes of the messages that came, and how many of the next ones are to be lost."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.losing = 0

    def decode(self, data: bytes) -> frames.ServerFrame:
        frame = frames.decode_server_frame(data)
        if isinstance(frame, list):
            self.sizes.append(len(data))
            if self.losing > 0:
                self.losing -= 1
                return []
        return frame


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    found = Heard()
    monkeypatch.setattr(session, "decode_server_frame", found.decode)
    return found


@pytest.fixture(scope="module")
def folding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    config: Path = tmp_path_factory.mktemp("folding") / "arqonbus.toml"
    config.write_text(CONFIG)
    started = Bus(config=config)
    yield started
    started.stop()


async def test_fewer_bytes_and_after_a_loss_none_that_are_wrong(folding: Bus, heard: Heard) -> None:
    async with arqon.connect(folding.url, token=folding.token()) as client:
        async with client.room("folded", delta=True) as loop:
            room = client.room("folded")

            async def said(n: int) -> object:
                await room.publish("n", {"n": n, "lines": LINES})
                message = await anext(loop)
                return message.signal.reason if message.signal else message.data["n"]

            assert [await said(n) for n in range(20)] == list(range(20))
            assert sum(heard.sizes) < 2 * WHOLE_BYTES + 20 * 400
            assert max(heard.sizes[1:]) < WHOLE_BYTES / 2, "all but the first are diffs"
            heard.losing = 1
            await room.publish("n", {"n": 20, "lines": LINES})
            assert await said(21) == "delta"
            # The SUB that asks for whole messages went before this.
            assert [await said(n) for n in (22, 23)] == [22, 23]
            assert heard.sizes[-2] > WHOLE_BYTES > 2 * heard.sizes[-1]


async def test_other_metadata_does_not_make_messages_lost(folding: Bus) -> None:
    async with arqon.connect(folding.url, token=folding.token()) as client:
        async with client.room("folded-2", delta=True, presence=True, member_meta=0) as loop:
            room = client.room("folded-2")
            for n in range(10):
                await room.publish("n", {"n": n, "lines": LINES}, ack=False)
                await loop.update_meta(n + 1)
            got = [await anext(loop) for _ in range(10)]
            assert [message.signal or message.data["n"] for message in got] == list(range(10))


async def test_nobody_else_gets_diffs(folding: Bus, heard: Heard) -> None:
    async with arqon.connect(folding.url, token=folding.token()) as client:
        async with client.room("folded-3") as loop:
            with pytest.raises(ValueError, match="other options"):
                async with client.room("folded-3", delta=True):
                    pass
            for n in range(2):
                await client.room("folded-3").publish("n", {"n": n, "lines": LINES})
                assert (await anext(loop)).data["n"] == n
            assert min(heard.sizes) > WHOLE_BYTES


async def test_a_pattern_has_diffs_of_each_room(folding: Bus, heard: Heard) -> None:
    rooms = ["folded-p1", "folded-p2", "folded-p3"]
    async with arqon.connect(folding.url, token=folding.token()) as client:
        async with client.room("folded-p*", delta=True) as loop:

            async def said(room: str, n: int) -> tuple[str, object]:
                await client.room(room).publish("n", {"n": n, "lines": LINES})
                message = await anext(loop)
                return message.room, message.signal.reason if message.signal else message.data["n"]

            for n in range(12):
                assert await said(rooms[n % 3], n) == (rooms[n % 3], n)
            assert max(heard.sizes[3:]) < WHOLE_BYTES / 10, "all but the first of each are diffs"
            heard.losing = 1
            await client.room(rooms[0]).publish("n", {"n": 12, "lines": LINES})
            assert await said(rooms[1], 13) == (rooms[1], 13)
            assert await said(rooms[0], 14) == (rooms[0], "delta")
            # The SUB that asks for whole messages went before these.
            for n, room in enumerate(rooms):
                assert await said(room, n) == (room, n)
