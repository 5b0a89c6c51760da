"""Messages during a move to another Shield: in a durable room with more to recover than the client
buffers, and those that a backend wrote itself, without an id of the bus.
"""

from __future__ import annotations

import asyncio

import pytest
from moving import AT_ONCE, Shields, Sub
from peer import TOKEN, ack
from waits import LIMIT_SECONDS, until

import arqon
from arqon._gen import Envelope, Event
from arqon._subscription.room_entry import _HELD_MAX

pytestmark = pytest.mark.usefixtures("nothing_left", "no_linger")
# The place of the client before the move, and the last offset that is stored.
FIRST = 5
LAST = FIRST + _HELD_MAX + 50


async def recover(sub: Sub) -> None:
    """The room from the beginning on the first Shield; from the place on on the others."""
    if sub.shield == 0:
        place = f'{{"offset": {FIRST}, "epoch": "e1"}}'
        await sub.socket.send(ack(sub.request_id, offset=FIRST, result=place.encode()))
        return
    place = f'{{"offset": {LAST}, "epoch": "e1", "recovered": true}}'
    await sub.socket.send(ack(sub.request_id, offset=LAST, result=place.encode()))
    for offset in range(FIRST + 1, LAST + 1):
        event = Event(type="n", data=b"1", content_type="application/json")
        message = Envelope(room_id="lobby", sender_id="ann", offset=offset, event=event)
        await sub.socket.send(b"\x04" + message.SerializeToString())


async def test_messages_above_the_hold_limit_still_arrive() -> None:
    async with Shields(recover) as shields:
        async with arqon.connect(shields.url, token=TOKEN, **AT_ONCE) as client:
            async with client.room("lobby", buffer=LAST, on_overflow="drop-newest") as messages:
                await shields.drain()
                await shields.release()
                offsets: list[int] = []
                while not offsets or offsets[-1] < LAST:
                    message = await asyncio.wait_for(anext(messages), LIMIT_SECONDS)
                    if not message.is_gap:
                        offsets.append(message.offset)
    assert offsets == list(range(FIRST + 1, LAST + 1))


async def test_each_message_without_an_id_arrives_once() -> None:
    async def accept(sub: Sub) -> None:
        await sub.socket.send(ack(sub.request_id))

    async def send(shield: int, data: bytes) -> None:
        event = Event(type="n", data=data, content_type="application/json")
        message = Envelope(room_id="lobby", sender_id="backend", event=event)
        await shields.sockets[shield].send(b"\x04" + message.SerializeToString())

    async with Shields(accept) as shields:
        async with arqon.connect(shields.url, token=TOKEN, **AT_ONCE) as client:
            async with client.room("lobby") as messages:
                await shields.drain()
                await until("the next Shield has the SUB", lambda: len(shields.subs) == 2)
                await send(0, b"1")
                await send(1, b"1")
                await send(1, b"2")
                first = await asyncio.wait_for(anext(messages), LIMIT_SECONDS)
                await shields.release()
                second = await asyncio.wait_for(anext(messages), LIMIT_SECONDS)
    assert (first.data, second.data) == (1, 2)
