"""Typed rooms and listeners against a real bus, with the real pydantic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest
from bus import Bus
from google.protobuf.wrappers_pb2 import StringValue

import arqon

pytestmark = pytest.mark.usefixtures("nothing_left")


class Position(pydantic.BaseModel):
    lat: float = pydantic.Field(ge=-90, le=90)
    lon: float


@dataclass(frozen=True)
class Chat:
    text: str
    lines: int = 1

    def __post_init__(self) -> None:
        if self.lines < 1:
            raise ValueError("lines is at least 1")


POSITIONS = arqon.json_codec(Position.model_validate)


async def test_pydantic_models(bus: Bus, room_id: str) -> None:
    errors: list[arqon.ArqonError] = []
    async with arqon.connect(bus.url, token=bus.token("ann"), on_error=errors.append) as client:
        room = client.room(room_id)
        positions = room.typed("position", POSITIONS)
        async with positions as messages:
            await room.publish("chat", "of another type")
            await room.publish("position", {"lat": 91, "lon": 0})
            await room.publish("position", "{")
            await positions.publish(Position(lat=52.5, lon=13.4), message_id="m1")
            item = await anext(messages)
            assert item.value == Position(lat=52.5, lon=13.4)
            assert item.message.content_type == "application/json"
            assert (item.message.message_id, item.message.sender) == ("m1", "ann")
        assert [error.reason for error in errors] == ["schema-violation"] * 2
        assert isinstance(errors[0].__cause__, pydantic.ValidationError)
        assert "from ann" in errors[0].message
        wrong = Position.model_construct(lat=91.0, lon=0.0)
        with pytest.raises(arqon.SchemaViolation, match="not sent"):
            await positions.publish(wrong)


async def test_invalid_data_can_be_raised_and_the_loop_continues(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        typed = client.room(room_id).typed("chat", arqon.json_codec(Chat), on_invalid="raise")
        async with typed:
            for data in ({"txt": 1}, [1], {"text": "a", "lines": 0}):
                await typed.room.publish("chat", data)
                with pytest.raises(arqon.SchemaViolation) as invalid:
                    await anext(typed)
                assert isinstance(invalid.value.__cause__, (TypeError, ValueError))
            await typed.publish(Chat("hi", 2))
            assert (await anext(typed)).value == Chat("hi", 2)
    with pytest.raises(ValueError, match="on_invalid"):
        typed.room.typed("x", arqon.json_codec(Chat), on_invalid="throw")  # type: ignore[arg-type]


async def test_protobuf_and_signals(bus: Bus, room_id: str) -> None:
    codec = arqon.protobuf_codec(StringValue)
    async with (
        arqon.connect(bus.url, token=bus.token("ann")) as client,
        arqon.connect(bus.url, token=bus.token("root", role="admin")) as root,
        client.room(room_id).typed("name", codec) as messages,
    ):
        await messages.publish(StringValue(value="é"))
        item = await anext(messages)
        assert item.value is not None
        assert item.value.value == "é"
        assert item.message.content_type == "application/protobuf"
        with pytest.raises(arqon.SchemaViolation, match="expected StringValue"):
            await messages.publish("no message")  # type: ignore[arg-type]
        await root.room(room_id).kick(user_id="ann")
        rest = [one async for one in messages]
        assert [(one.value, one.message.signal and one.message.signal.kind) for one in rest] == [
            (None, "DISCONNECT")
        ]


async def test_another_content_type_or_schema_is_not_decoded(bus: Bus, room_id: str) -> None:
    errors: list[str] = []
    async with arqon.connect(
        bus.url, token=bus.token(), on_error=lambda error: errors.append(error.message)
    ) as client:
        room = client.room(room_id)
        codec = arqon.protobuf_codec(StringValue, schema_id="name-1")
        async with room.typed("name", codec) as messages:
            # Protobuf reads nearly any bytes, these as a value.
            name = StringValue(value="Ann").SerializeToString()
            await room.publish("name", name, content_type="text/plain")
            await room.publish("name", name, content_type="application/protobuf", schema_id="car-1")
            await room.publish("name", name, content_type="Application/Protobuf; v=1")
            await room.publish("name", name, schema_id="name-1")
            items = [await anext(messages) for _ in range(2)]
            assert [item.value for item in items] == [StringValue(value="Ann")] * 2
            assert [item.message.schema_id for item in items] == ["", "name-1"]
    wrong = ("content type is text/plain; expected application/protobuf", "schema is car-1")
    assert [text in error for text, error in zip(wrong, errors, strict=True)] == [True, True]


def test_codecs_of_plain_functions() -> None:
    codec = arqon.json_codec(lambda data: int(data), dump=str)
    assert codec.encode(7) == b'"7"'
    assert codec.decode(b'"8"') == 8
    with pytest.raises(ValueError, match="JSON"):
        arqon.json_codec(float).encode(float("nan"))


async def test_listen_one_after_another(bus: Bus, room_id: str) -> None:
    seen: list[Any] = []
    running = 0
    done = asyncio.Event()

    async def handler(message: arqon.Message) -> None:
        nonlocal running
        running += 1
        assert running == 1, "one at a time"
        await asyncio.sleep(0)
        running -= 1
        seen.append(message.data)
        if len(seen) == 100:
            done.set()

    async with arqon.connect(bus.url, token=bus.token()) as client:
        room = client.room(room_id)
        async with client.room(room_id).listen(handler):
            await asyncio.gather(*(room.publish("n", n) for n in range(100)))
            await asyncio.wait_for(done.wait(), 60)
        assert seen == list(range(100))
        await room.publish("n", "after the end")
        await room.count()
        assert len(seen) == 100


async def test_a_handler_that_raises_misses_nothing_else(bus: Bus, room_id: str) -> None:
    errors: list[arqon.ArqonError] = []
    seen: list[Any] = []
    last = asyncio.Event()

    def handler(message: arqon.Message) -> None:
        if message.data == 1:
            raise ZeroDivisionError("of the handler")
        seen.append(message.data)
        if message.data == 3:
            last.set()

    async with arqon.connect(bus.url, token=bus.token(), on_error=errors.append) as client:
        listener = await client.room(room_id).listen(handler)
        for n in range(4):
            await client.room(room_id).publish("n", n)
        await asyncio.wait_for(last.wait(), 60)
        assert seen == [0, 2, 3]
        assert [type(error) for error in errors] == [arqon.HandlerFailed]
        assert isinstance(errors[0].__cause__, ZeroDivisionError)
        await listener.close()
        await listener.close()
        await listener.wait_ended()
        with pytest.raises(RuntimeError, match="begun already"):
            await listener


async def test_without_on_error_asyncio_is_notified_of_a_handler_that_raises(
    bus: Bus, room_id: str
) -> None:
    errors = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: errors.set_result(context["exception"])
    )

    async def handler(_: arqon.Message) -> None:
        raise ZeroDivisionError

    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room(room_id).listen(handler):
            await client.room(room_id).publish("n")
            assert isinstance(await asyncio.wait_for(errors, 60), ZeroDivisionError)


async def test_close_cancels_a_handler_and_may_be_called_by_it(bus: Bus, room_id: str) -> None:
    hanging, cancelled = asyncio.Event(), asyncio.Event()
    seen: list[Any] = []

    async def hangs(_: arqon.Message) -> None:
        hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def closes(message: arqon.Message) -> None:
        seen.append(message.data)
        await second.close()

    async with arqon.connect(bus.url, token=bus.token()) as client:
        room = client.room(room_id)
        first = await client.room(room_id).listen(hangs)
        second = await client.room(room_id).listen(closes)
        await asyncio.gather(*(room.publish("n", n) for n in range(3)))
        await asyncio.wait_for(hanging.wait(), 60)
        await first.close()
        assert cancelled.is_set()
        await asyncio.wait_for(second.wait_ended(), 60)
        assert seen == [0]


async def test_a_listener_receives_the_reason_of_its_end(bus: Bus, room_id: str) -> None:
    errors: list[arqon.ArqonError] = []
    blocked = asyncio.Event()

    async def handler(_: arqon.Message) -> None:
        await blocked.wait()

    grants = [{"room": "mine", "actions": ["publish", "subscribe"]}]
    async with arqon.connect(bus.url, token=bus.token(grants=grants)) as client:
        with pytest.raises(arqon.NotGranted):
            await client.room(room_id).listen(handler)
    async with arqon.connect(bus.url, token=bus.token(), on_error=errors.append) as client:
        listener = await client.room(room_id, buffer=2).listen(handler)
        room = client.room(room_id)
        await asyncio.gather(*(room.publish("n", n) for n in range(5)))
        blocked.set()
        with pytest.raises(arqon.SlowConsumer):
            await asyncio.wait_for(listener.wait_ended(), 60)
    assert [error.reason for error in errors] == ["slow-consumer"]


async def test_a_typed_room_can_be_listened_to(bus: Bus, room_id: str) -> None:
    got: asyncio.Queue[Position | None] = asyncio.Queue()
    async with arqon.connect(bus.url, token=bus.token()) as client:
        positions = client.room(room_id).typed("position", POSITIONS)
        async with positions.listen(lambda item: got.put_nowait(item.value)):
            await positions.publish(Position(lat=1, lon=2))
            assert await asyncio.wait_for(got.get(), 60) == Position(lat=1, lon=2)
