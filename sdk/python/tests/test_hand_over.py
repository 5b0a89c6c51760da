"""A client moves to another Shield. The last Shield must have the metadata that the program saw
accepted. Each message arrives once: in a durable room with more to recover than the client buffers,
and from a backend, without an id of the bus.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from moving import AT_ONCE, Shields, Sub
from peer import TOKEN, ack, reset
from waits import LIMIT_SECONDS, until

import arqon
from arqon._gen import Envelope, Event
from arqon._subscription.room_entry import _HELD_MAX

pytestmark = pytest.mark.usefixtures("nothing_left", "no_linger")
# The place of the client before the move, and the last offset that is stored.
FIRST = 5
LAST = FIRST + _HELD_MAX + 50


@asynccontextmanager
async def member(shields: Shields) -> AsyncIterator[arqon.Room]:
    """A member of the room with metadata 1."""
    async with (
        shields,
        arqon.connect(shields.url, token=TOKEN, **AT_ONCE) as client,
        client.room("lobby", presence=True, member_meta=1) as room,
    ):
        yield room


async def accept(sub: Sub) -> None:
    await sub.accept()


def late_shields() -> tuple[Shields, list[Sub]]:
    """All is accepted but the first SUB on the second Shield, which waits in the list."""
    late: list[Sub] = []

    async def answer(sub: Sub) -> None:
        if sub.shield == 1 and not late:
            late.append(sub)
        else:
            await sub.accept()

    return Shields(answer), late


def moved(room: arqon.Room) -> bool:
    """Whether the client uses the second session."""
    return room.bus.welcomed.connection_id == "c2"


async def begun(shields: Shields) -> None:
    """Begins the move. Returns when the next Shield has the client's first SUB."""
    await shields.drain()
    await until("metadata 1 arrived", lambda: len(shields.metas(1)) == 1)


async def test_metadata_that_only_the_old_shield_has_is_sent_to_the_next_one() -> None:
    shields = Shields(accept)
    async with member(shields) as room:
        await begun(shields)
        await room.update_meta(2)
        await shields.release()
        await until("metadata 2 arrived", lambda: len(shields.metas(1)) == 2)
    assert (shields.metas(0), shields.metas(1)) == ([1, 2], [1, 2])


async def test_without_a_change_the_next_shield_gets_one_sub() -> None:
    shields = Shields(accept)
    async with member(shields) as room:
        await room.update_meta(2)
        await begun(shields)
        await shields.release()
        await until("it has moved", lambda: moved(room))
        await room.publish("x")
    assert (shields.metas(0), shields.metas(1)) == ([1, 2], [2])


async def test_metadata_that_the_next_shield_refuses_for_now_is_sent_again() -> None:
    refusals = 0

    async def answer(sub: Sub) -> None:
        nonlocal refusals
        if sub.shield == 0 or sub.meta == 1 or refusals == 2:
            await sub.accept()
            return
        refusals += 1
        await sub.refuse()

    shields = Shields(answer)
    async with member(shields) as room:
        await begun(shields)
        await room.update_meta(2)
        await shields.release()
        await until("metadata 4 arrived", lambda: len(shields.metas(1)) == 4)
        await until("it has moved", lambda: moved(room))
        await room.publish("x")
    assert (shields.metas(0), shields.metas(1)) == ([1, 2], [1, 2, 2, 2])


async def test_metadata_that_the_next_shield_refuses_for_good_is_sent_once() -> None:
    async def answer(sub: Sub) -> None:
        if sub.shield == 0 or sub.meta == 1:
            await sub.accept()
        else:
            await sub.refuse(413, "message-too-large")

    shields = Shields(answer)
    async with member(shields) as room:
        await begun(shields)
        await room.update_meta(2)
        await shields.release()
        await until("it has moved", lambda: len(shields.metas(1)) == 2 and moved(room))
        await room.publish("x")
        await room.publish("the subscription is open")
    assert shields.metas(1) == [1, 2]


async def test_metadata_is_sent_again_after_a_late_answer_to_an_earlier_sub() -> None:
    shields, late = late_shields()
    async with member(shields) as room:
        await begun(shields)
        await room.update_meta(2)
        # The old Shield fails. The client uses the next one, which has not answered yet.
        reset(shields.sockets[0])
        await until("it has moved", lambda: moved(room))
        await late[0].accept()
        await until("metadata 2 arrived", lambda: len(shields.metas(1)) == 2)
    assert shields.metas(1) == [1, 2]


@pytest.mark.parametrize("answered", [True, False])
async def test_a_change_that_the_old_shield_answers_late_or_never(answered: bool) -> None:
    late: list[Sub] = []

    async def answer(sub: Sub) -> None:
        if sub.shield == 0 and sub.meta == 2:
            late.append(sub)
        else:
            await sub.accept()

    async def before_command(shield: int) -> None:
        # The renewal of the lock: the client has moved, and the old session is still open.
        if shield == 1 and answered:
            await late[0].accept()
            await until("the update is done", update.done)

    shields = Shields(answer, before_command)
    async with member(shields) as room, room.state.lock(ttl_ms=60_000):
        await begun(shields)
        update = asyncio.ensure_future(room.update_meta(2))
        await until("the late SUB", lambda: len(late) == 1)
        await shields.release()
        await asyncio.wait_for(update, 60)
        await until("metadata 2 arrived", lambda: len(shields.metas(1)) == 2)
        await until("it has moved", lambda: moved(room))
    assert (shields.metas(0), shields.metas(1)) == ([1, 2], [1, 2])


async def test_a_change_that_the_next_shield_refuses_keeps_the_earlier_metadata() -> None:
    async def answer(sub: Sub) -> None:
        if sub.shield == 1 and sub.meta == 3:
            await sub.refuse(413, "message-too-large")
        elif sub.shield == 1 and sub.meta == 2 and 3 not in shields.metas(1):
            await sub.refuse()
        else:
            await sub.accept()

    shields = Shields(answer)
    async with member(shields) as room:
        await begun(shields)
        await room.update_meta(2)
        await shields.release()
        await until("metadata 2 arrived", lambda: 2 in shields.metas(1))
        with pytest.raises(arqon.MessageTooLarge):
            await room.update_meta(3)
        await until("metadata 2 is the last", lambda: shields.metas(1)[-1] == 2)
        await until("it has moved", lambda: moved(room))
        await room.publish("x")
    assert shields.metas(1)[-1] == 2


async def test_two_quick_changes_are_two_subs() -> None:
    shields = Shields(accept)
    async with member(shields) as room:
        await asyncio.gather(room.update_meta(2), room.update_meta(3))
        await room.publish("x")
    assert shields.metas(0) == [1, 2, 3]


async def test_the_refusal_of_a_change_does_not_undo_a_newer_one() -> None:
    async def answer(sub: Sub) -> None:
        if sub.meta == 2:
            await sub.refuse(413, "message-too-large")
        else:
            await sub.accept()

    shields = Shields(answer)
    async with member(shields) as room:
        first, second = await asyncio.gather(
            room.update_meta(2), room.update_meta(3), return_exceptions=True
        )
        assert isinstance(first, arqon.MessageTooLarge)
        assert second is None
        reset(shields.sockets[0])
        await until("metadata 1 arrived", lambda: len(shields.metas(1)) == 1)
    assert (shields.metas(0), shields.metas(1)) == ([1, 2, 3], [3])


async def test_a_change_while_the_first_sub_of_a_session_is_pending() -> None:
    shields, late = late_shields()
    async with member(shields) as room:
        reset(shields.sockets[0])
        await until("the late SUB", lambda: len(late) == 1)
        update = asyncio.ensure_future(room.update_meta(2))
        await asyncio.sleep(0)
        await late[0].accept()
        await asyncio.wait_for(update, 60)
    assert shields.metas(1) == [1, 2]


async def test_a_change_that_a_new_session_refuses_does_not_end_the_subscription() -> None:
    async def answer(sub: Sub) -> None:
        if sub.shield == 0 and sub.meta == 2:
            reset(sub.socket)
        elif sub.meta == 2:
            await sub.refuse(413, "message-too-large")
        else:
            await sub.accept()

    shields = Shields(answer)
    async with member(shields) as room:
        with pytest.raises(arqon.MessageTooLarge):
            await room.update_meta(2)
        await until("metadata 2 arrived", lambda: len(shields.metas(1)) == 2)
        await room.publish("x")
    assert (shields.metas(0), shields.metas(1)) == ([1, 2], [2, 1])


async def test_cancelled_changes_do_not_count_and_the_newest_is_sent() -> None:
    shields, late = late_shields()
    async with member(shields) as room:
        reset(shields.sockets[0])
        await until("the late SUB", lambda: len(late) == 1)
        for n in range(300):
            given_up = asyncio.ensure_future(room.update_meta(n))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
        waiting = [asyncio.ensure_future(room.update_meta(n)) for n in range(256)]
        await asyncio.sleep(0)
        with pytest.raises(arqon.TooManyPending):
            await room.update_meta(256)
        await late[0].accept()
        await asyncio.wait_for(asyncio.gather(*waiting), 60)
    assert shields.metas(1) == [1, 255]


async def test_a_room_that_only_the_next_shield_has_accepted_is_ready() -> None:
    async def answer(sub: Sub) -> None:
        if sub.shield == 1:
            await sub.accept()

    shields = Shields(answer)
    async with shields, arqon.connect(shields.url, token=TOKEN, **AT_ONCE) as client:

        async def enter() -> None:
            async with client.room("lobby", presence=True):
                pass

        entering = asyncio.ensure_future(enter())
        await until("the first SUB", lambda: len(shields.subs) == 1)
        await shields.drain()
        await until("the next one", lambda: len(shields.subs) == 2)
        await shields.release()
        await asyncio.wait_for(entering, 60)


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
