"""Growing messages on a real bus: written from generators, read piece by piece, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from bus import Bus, CuttableProxy
from waits import until

import arqon
from arqon.streams import Growing, StreamEnd, growing, open_stream, stop_stream, stream

pytestmark = pytest.mark.usefixtures("nothing_left")


async def words(count: int) -> AsyncIterator[str]:
    for at in range(count):
        yield f"{at} ä€🦊 "
        await asyncio.sleep(0)


async def until_ended(room: arqon.Room, id: str, received: list[Growing]) -> None:
    async for one in growing(room):
        if one.id != id:
            continue
        received.append(one)
        if one.state != "growing":
            return


async def test_a_generator_grows_and_is_one_message(bus: Bus) -> None:
    token = bus.token()
    async with arqon.connect(bus.url, token=token) as client:
        room = client.room("durable-chat-1")
        received: list[Growing] = []
        reading = asyncio.ensure_future(until_ended(room, "a", received))
        out = await open_stream(room, id="a", type="answer")
        await out.write("first")
        await until("a piece arrived", lambda: received and received[-1].text == "first")
        late: list[Growing] = []
        joining = asyncio.ensure_future(until_ended(room, "a", late))
        await until("a piece arrived at the client that joined", lambda: late)
        assert late[0].piece == "first"
        async for word in words(200):
            await out.write(word)
        end = await out.finish()
        await asyncio.gather(reading, joining)
        text = "first" + "".join([word async for word in words(200)])
        for one in (received, late):
            assert one[-1].text == text
            assert one[-1].state == "finished"
            assert one[-1].offset == end.offset
            assert "".join(item.piece for item in one) == text
        (message,) = (await room.history()).messages
        assert (message.raw.decode(), message.type, message.offset) == (text, "answer", end.offset)


async def test_halves_of_a_surrogate_pair_are_one_character(bus: Bus) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        room = client.room("durable-chat-halves")
        out = await open_stream(room)
        await out.write("a\ud83e")
        await out.write("\udd8ab\udc00c\ud83e")
        await out.finish()
        (message,) = (await room.history()).messages
        assert message.raw.decode() == "a🦊b\ufffdc\ufffd"


async def test_stop_cancels_the_source(bus: Bus) -> None:
    cancelled = asyncio.Event()

    async def endless() -> AsyncIterator[str]:
        try:
            yield "so far"
            await asyncio.sleep(3_600)
        finally:
            cancelled.set()

    async with arqon.connect(bus.url, token=bus.token()) as client:
        room = client.room("durable-chat-2")
        received: list[Growing] = []
        reading = asyncio.ensure_future(until_ended(room, "b", received))
        ending = asyncio.ensure_future(stream(room, endless(), id="b"))
        await until("a piece arrived", lambda: received and received[-1].text == "so far")
        end = await stop_stream(room, "b", "enough")
        (message,) = (await room.history()).messages
        assert end == StreamEnd("b", "stopped", message.offset)
        assert await ending == end
        await cancelled.wait()
        await reading
        assert (received[-1].state, received[-1].reason) == ("stopped", "enough")
        with pytest.raises(arqon.GrowingEnded):
            await stop_stream(room, "b")
        with pytest.raises(arqon.GrowingUnknown):
            await stop_stream(room, "never")


@pytest.mark.parametrize("actions", [["publish", "subscribe"], ["publish"]])
async def test_the_author_of_an_end_comes_from_the_bus(bus: Bus, actions: list[str]) -> None:
    """With any id and any reason, also for a client that may not read it."""
    grants = [{"room": "durable-chat-*", "actions": actions}]
    async with (
        arqon.connect(bus.url, token=bus.token(grants=grants)) as writer,
        arqon.connect(bus.url, token=bus.token()) as client,
    ):
        name = f"durable-chat-by-{len(actions)}"
        room, seen = writer.room(name), client.room(name)
        over = asyncio.Event()

        async def endless() -> AsyncIterator[str]:
            yield "so far"
            await over.wait()
            while True:
                yield "more"

        stopped = asyncio.ensure_future(stream(room, endless(), id="a"))
        aborted = asyncio.ensure_future(stream(room, endless(), id="stopped"))

        async def grown() -> bool:
            try:
                for id in ("a", "stopped"):
                    if (await seen.command("growing.get", {"id": id}))["text"] != "so far":
                        return False
            except arqon.GrowingUnknown:
                return False
            return True

        await until("both grow", grown)
        end = await stop_stream(seen, "a")
        await room.command("growing.abort", {"id": "stopped", "reason": "the disk stopped"})
        over.set()
        assert await stopped == end
        assert end.offset is not None
        with pytest.raises(arqon.GrowingEnded):
            await aborted


async def test_an_error_of_the_source_aborts(bus: Bus) -> None:
    def failing() -> Iterator[str]:
        yield "half"
        raise ValueError("the model failed")

    async with arqon.connect(bus.url, token=bus.token()) as client:
        room = client.room("durable-chat-3")
        with pytest.raises(ValueError, match="failed"):
            await stream(room, failing())
        async with await open_stream(room) as out:
            await out.write("whole")
        async with await open_stream(room) as out:
            await out.write("nothing")
            await out.abort(keep=False)
        aborted, whole = (await room.history()).messages
        assert aborted.headers["x-arqon-growing-reason"] == "the model failed"
        assert whole.raw == b"whole"


async def test_over_drops_each_piece_once(bus: Bus) -> None:
    quick = arqon.Backoff(base_ms=5, max_ms=50)
    token = bus.token()
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(proxy.url, token=token, backoff=quick) as client,
    ):
        room = client.room("durable-chat-4")
        received: list[Growing] = []
        reading = asyncio.ensure_future(until_ended(room, "d", received))
        out = await open_stream(room, id="d")
        expected = "first "
        await out.write(expected)
        # A loop that subscribes only after the end, because of the cuts, would get nothing.
        await until("a piece arrived", lambda: received)
        for _ in range(5):
            async for word in words(50):
                expected += word
                await out.write(word)
            proxy.cut()
        await out.finish()
        await reading
        assert received[-1].text == expected
        assert "".join(one.piece for one in received) == expected
        (message,) = (await room.history()).messages
        assert message.raw.decode() == expected


async def test_a_reader_that_was_away_learns_each_end_of_an_id(bus: Bus) -> None:
    """It takes no message of a publisher for the end of a growing one."""
    quick = arqon.Backoff(base_ms=5, max_ms=50)
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(proxy.url, token=bus.token(), backoff=quick) as away,
        arqon.connect(bus.url, token=bus.token("ann")) as ann,
        arqon.connect(bus.url, token=bus.token("mallory")) as mallory,
    ):
        room = ann.room("durable-chat-away")
        received: list[Growing] = []

        async def read() -> None:
            async for one in growing(away.room(room.id)):
                received.append(one)

        reading = asyncio.ensure_future(read())
        out = await open_stream(room, id="again")
        await out.write("first")
        await until("a piece arrived", lambda: received and received[-1].text == "first")
        proxy.refuse = True
        proxy.cut()
        await out.finish()
        fake = f"growing:again:{received[-1].started_ms}"
        await mallory.room(room.id).publish("", "of mallory", message_id=fake)
        for at in range(150):
            await room.publish("note", str(at))
        async with await open_stream(room, id="again") as second:
            await second.write("anew")
            received.clear()
            proxy.refuse = False
            await until("it arrived", lambda: received and received[-1].text == "anew")
            assert [(one.state, one.text) for one in received] == [
                ("finished", "first"),
                ("growing", "anew"),
            ]
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_a_reader_that_is_put_out_of_the_room_is_notified(bus: Bus) -> None:
    async with arqon.connect(bus.url, token=bus.token("mod", role="service")) as mod:
        room = mod.room("durable-chat-out")
        async with await open_stream(room) as out:
            await out.write("so far")
            for reason in ("disconnected", "room-banned"):
                async with arqon.connect(bus.url, token=bus.token("bob")) as bob:
                    reading = growing(bob.room(room.id))
                    assert (await anext(reading)).text == "so far"
                    if reason == "disconnected":
                        await room.kick(user_id="bob")
                    else:
                        await room.ban("bob", scope="room")
                    with pytest.raises(arqon.ArqonError) as ended:
                        await asyncio.wait_for(anext(reading), 60)
                    assert ended.value.reason == reason
