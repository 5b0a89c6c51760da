"""The members of a room while the client moves. The next Shield learns of new members later, and no
member may seem to leave because of that. Tests of the table, then of a client with two Shields.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from moving import AT_ONCE, Shields, Sub
from peer import TOKEN, reset
from waits import until

import arqon
from arqon._gen import PresenceLeave, PresenceMember, PresenceUpdate
from arqon.presence import MemberTable, PresenceChange

OLD, NEXT = object(), object()
# Nothing that is held for this long is given up within a test.
LONG_MS = 600_000

pytestmark = pytest.mark.usefixtures("nothing_left", "no_linger")


def list_of(*ids: str, pages: int = 1) -> dict[str, Any]:
    members = [{"connection_id": id, "user_id": "u", "joined_ms": 1} for id in ids]
    return {"members": members, "users": 1, "connections": len(ids), "pages": pages}


def join(table: MemberTable, *ids: str, snapshot: bool = False) -> None:
    members = [PresenceMember(connection_id=id, user_id="u", joined_ms=1) for id in ids]
    update = PresenceUpdate(members=members, users=1, snapshot=snapshot)
    table.hear("PRESENCE_UPDATE", update.SerializeToString())


def leave(table: MemberTable, *ids: str) -> None:
    members = [PresenceMember(connection_id=id, user_id="u", joined_ms=1) for id in ids]
    table.hear("PRESENCE_LEAVE", PresenceLeave(members=members, users=1).SerializeToString())


class RecordingTable(MemberTable):
    """Records the changes that it reports: "+a", "~a", "-a"."""

    def __init__(self, hold_ms: int) -> None:
        super().__init__(hold_ms)
        self.signs_seen: list[str] = []

    def _tell(self, change: PresenceChange) -> None:
        signs = {"join": "+", "update": "~", "leave": "-"}
        self.signs_seen.append(signs[change.kind] + change.member.connection_id)


def followed(hold_ms: int) -> tuple[MemberTable, list[str]]:
    table = RecordingTable(hold_ms)
    return table, table.signs_seen


async def test_members_missing_in_the_next_list_leave_at_the_end_of_the_hold() -> None:
    table, signs_seen = followed(20)
    table.begin(list_of("a", "b", "c"), OLD)
    table.begin(list_of("a"), NEXT)
    assert list(table.members) == ["a", "b", "c"]
    join(table, "c")
    await until("b has left", lambda: "b" not in table.members)
    assert (signs_seen, list(table.members)) == (["+a", "+b", "+c", "-b"], ["a", "c"])


async def test_each_is_held_for_its_own_time() -> None:
    table, signs_seen = followed(20)
    table.begin(list_of("a", "b"), OLD)
    table.begin(list_of("a"), NEXT)
    table._hold_seconds = LONG_MS
    table.begin(list_of(), object())
    await until("b has left", lambda: "b" not in table.members)
    assert (signs_seen, list(table.members)) == (["+a", "+b", "-b"], ["a"])
    table.lost()


async def test_a_leave_from_the_next_shield_is_reported_at_once() -> None:
    table, signs_seen = followed(LONG_MS)
    table.begin(list_of("a", "b", "c"), OLD)
    # "b" leaves while pages arrive, "c" after the last page.
    table.begin(list_of("a", pages=2), NEXT)
    leave(table, "b")
    join(table, "d", snapshot=True)
    assert signs_seen[3:] == ["-b", "+d"]
    leave(table, "c")
    assert (signs_seen[5:], list(table.members)) == (["-c"], ["a", "d"])
    table.lost()


async def test_a_list_of_the_same_shield_drops_others_and_ends_no_hold() -> None:
    table, signs_seen = followed(LONG_MS)
    table.begin(list_of("a", "b", "c"), OLD)
    table.begin(list_of("a", "b"), NEXT)
    table.begin(list_of("a"), NEXT)
    assert (signs_seen[3:], list(table.members)) == (["-b"], ["a", "c"])
    table.begin(list_of("a", "c"), NEXT)
    table.begin(list_of("a"), NEXT)
    assert signs_seen[3:] == ["-b", "-c"], "a list with the member ends its hold"
    table.lost()


async def test_a_new_list_of_the_next_shield_before_the_first_is_whole() -> None:
    table, signs_seen = followed(LONG_MS)
    table.begin(list_of("a", "b"), OLD)
    table.begin(list_of("a", pages=2), NEXT)
    table.begin(list_of("a"), NEXT)
    assert (signs_seen, list(table.members)) == (["+a", "+b"], ["a", "b"])
    table.lost()


async def test_a_change_of_a_member_while_pages_arrive_ends_its_hold() -> None:
    table, signs_seen = followed(20)
    table.begin(list_of("a", "b", "c", "d"), OLD)
    table.begin(list_of("a"), NEXT)
    table.begin(list_of("a", pages=3), NEXT)
    join(table, "b")
    join(table, "c", snapshot=True)
    await until("d has left", lambda: "d" not in table.members)
    join(table, snapshot=True)
    assert (signs_seen[4:], list(table.members)) == (["-d"], ["a", "b", "c"])


async def test_after_a_loss_the_next_list_decides_at_once() -> None:
    table, signs_seen = followed(LONG_MS)
    table.begin(list_of("a", "b", "c"), OLD)
    table.begin(list_of("a", "c"), NEXT)
    table.lost()
    assert (signs_seen[3:], list(table.members)) == ([], ["a", "b", "c"])
    table.begin(list_of("a"), OLD)
    assert (signs_seen[3:], list(table.members)) == (["-b", "-c"], ["a"])


async def lives(choose: random.Random) -> None:
    """Random lists, changes and losses: in the end the members are the right ones."""
    table, _ = followed(0)
    truth, following = set[str](), False
    for _ in range(20):
        ids = choose.sample("abcd", choose.randrange(5))
        step = choose.choice(("list", "join", "leave", "lost"))
        if step == "list":
            table.begin(list_of(*ids), choose.choice((OLD, NEXT)))
            truth, following = set(ids), True
        elif step == "lost":
            table.lost()
            following = False
        else:
            (join if step == "join" else leave)(table, *ids)
            if following:
                truth = truth | set(ids) if step == "join" else truth - set(ids)
        assert not following or truth <= set(table.members)
    table.begin(list_of(*truth), object())
    await until("no timer is left", lambda: not table._held)
    assert set(table.members) == truth


@pytest.mark.parametrize("seed", range(4))
async def test_after_every_hold_the_members_are_the_last_list_and_later_changes(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(50):
        await lives(choose)


class Listener:
    """The changes that a program gets from a room: "+a", "-a"."""

    def __init__(self, room: arqon.Room) -> None:
        self.changes: list[str] = []
        self._task = asyncio.ensure_future(self._hear(room))

    async def _hear(self, room: arqon.Room) -> None:
        async for change in room.presence():
            sign = {"join": "+", "update": "~", "leave": "-"}[change.kind]
            self.changes.append(sign + change.member.connection_id)

    async def all(self) -> list[str]:
        """All changes until the subscription ends."""
        await asyncio.wait_for(self._task, 60)
        return self.changes


@asynccontextmanager
async def watched(
    answer: Callable[[Sub], Awaitable[None]],
) -> AsyncIterator[tuple[Shields, arqon.Room, Listener]]:
    """An observer of the room, and the changes that it gets."""
    async with (
        Shields(answer) as shields,
        arqon.connect(shields.url, token=TOKEN, **AT_ONCE) as client,
        client.room("lobby", presence=True, observer=True) as room,
    ):
        yield shields, room, Listener(room)


def moved(room: arqon.Room, to: str = "c2") -> bool:
    return room.bus.welcomed.connection_id == to


async def test_a_member_that_joins_while_the_client_moves_does_not_seem_to_leave() -> None:
    async def answer(sub: Sub) -> None:
        # The next Shield does not know "b" yet.
        await sub.accept("a")

    async with watched(answer) as (shields, room, listener):
        await shields.tell(0, came="b")
        await until("+b arrived", lambda: "+b" in listener.changes)
        await shields.drain()
        await shields.release()
        await until("it has moved", lambda: moved(room))
        await shields.tell(1, came="c")
        await until("+c arrived", lambda: "+c" in listener.changes)
        assert [member.connection_id for member in room.members()] == ["a", "b", "c"]
        await shields.tell(1, came="b")
        await shields.tell(1, left="c")
        await until("-c arrived", lambda: "-c" in listener.changes)
    assert await listener.all() == ["+a", "+b", "+c", "-c"]


async def test_no_member_seems_to_leave_if_the_old_shield_ends_before_the_answer() -> None:
    late: list[Sub] = []

    async def answer(sub: Sub) -> None:
        if sub.shield == 0:
            await sub.accept("a")
        else:
            late.append(sub)

    async with watched(answer) as (shields, room, listener):
        await shields.drain()
        await until("the late SUB", lambda: len(late) == 1)
        await shields.tell(0, came="b")
        await until("+b arrived", lambda: "+b" in listener.changes)
        reset(shields.sockets[0])
        await until("it has moved", lambda: moved(room))
        await late[0].accept("a")
        await shields.tell(1, came="c")
        await until("+c arrived", lambda: "+c" in listener.changes)
        await shields.tell(1, came="b")
        await shields.tell(1, came="d")
        await until("+d arrived", lambda: "+d" in listener.changes)
    assert await listener.all() == ["+a", "+b", "+c", "+d"]


async def test_a_member_that_leaves_while_the_client_moves_leaves_after_the_hold() -> None:
    async def answer(sub: Sub) -> None:
        await sub.accept(*("ab" if sub.shield == 0 else "b"))

    async with watched(answer) as (shields, room, listener):
        table = room._table()[1]
        assert table._hold_seconds == 2
        await shields.drain()
        await shields.release()
        await until("a timer runs", lambda: "a" in table._held)
        assert (listener.changes, list(table._held)) == (["+a", "+b"], ["a"])
        table._drop("a")
        await until("-a arrived", lambda: "-a" in listener.changes)
    assert await listener.all() == ["+a", "+b", "-a"]


async def test_the_list_of_a_shield_that_is_lost_before_the_move_changes_nothing() -> None:
    async def answer(sub: Sub) -> None:
        await sub.accept(*("a" if sub.shield == 1 else "ab"))

    async with watched(answer) as (shields, room, listener):
        await shields.drain()
        await until("2 SUBs", lambda: len(shields.subs) == 2)
        await shields.tell(1, left="b")
        reset(shields.sockets[1])
        await until("3 SUBs", lambda: len(shields.subs) == 3)
        await shields.tell(0, came="c")
        await until("+c arrived", lambda: "+c" in listener.changes)
        await shields.release()
        await until("it has moved", lambda: moved(room, "c3"))
    assert await listener.all() == ["+a", "+b", "+c"]


@pytest.mark.parametrize("end", ["leave", "close", "banned"])
async def test_the_end_of_a_subscription_ends_its_holds(end: str) -> None:
    async def answer(sub: Sub) -> None:
        await sub.accept(*("ab" if sub.shield == 0 else "b"))

    async with watched(answer) as (shields, room, listener):
        table = room._table()[1]
        await shields.drain()
        await shields.release()
        await until("a timer runs", lambda: "a" in table._held)
        if end == "leave":
            await room.__aexit__(None, None, None)
        elif end == "close":
            await room.bus.close()
        else:
            await shields.sockets[1].close(4403, "banned")
            with pytest.raises(arqon.Banned):
                await room.bus.wait_closed()
        assert table._held == {}
        assert (await listener.all())[:2] == ["+a", "+b"]
