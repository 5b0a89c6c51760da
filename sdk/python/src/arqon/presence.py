"""The members of a room: `Member`, the table that the Shield's events update, and its changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Literal, cast
from weakref import WeakSet

from arqon._gen import PresenceLeave, PresenceMember
from arqon._subscription.buffer import MessageBuffer
from arqon._tasks import first_of, resolve
from arqon._wire.frames import decode_presence, malformed
from arqon.message import json_of

UPDATE: Final = "PRESENCE_UPDATE"
LEAVE: Final = "PRESENCE_LEAVE"
# How long a member missing in the next Shield's list is kept. Longer than a Shield's interval
# between batches of presence changes (1,000 ms): by then it has reported all members.
HOLD_MS: Final = 2_000
# No source: there was no list yet, or later changes were missed.
_NOBODY: Final = object()


@dataclass(frozen=True)
class Member:
    """One connection in a room. A user with several connections is several members."""

    connection_id: str
    user_id: str
    meta: Any
    """The member's `member_meta`; None if it has none."""
    joined_ms: int
    """Unix ms of the join; an update of `meta` keeps it."""


@dataclass(frozen=True)
class PresenceChange:
    """One change: a `join`, an `update` of metadata, or a `leave` with the member's last state."""

    kind: Literal["join", "update", "leave"]
    member: Member


@dataclass(frozen=True)
class MemberCount:
    """The number of members in a room."""

    connections: int
    users: int
    """The number of distinct users: a user with two connections counts once."""


def read_members(answer: dict[str, Any]) -> list[Member]:
    """The members of a SUB's ACK or of a `presence.list` page. Raises `MalformedFrame`."""
    try:
        if not all(type(answer[name]) is int for name in ("connections", "users")):
            raise TypeError
        return [
            Member(m["connection_id"], m["user_id"], m.get("meta"), m["joined_ms"])
            for m in cast("list[dict[str, Any]]", answer["members"])
        ]
    except (KeyError, TypeError, AttributeError):
        raise malformed("an answer without members") from None


def _member_of(member: PresenceMember) -> Member:
    try:
        meta = json_of(member.meta) if member.meta else None
    except RecursionError:
        # One member's invalid metadata must not lose all others.
        meta = None
    return Member(member.connection_id, member.user_id, meta, member.joined_ms)


class MemberTable:
    """The members of one room, over reconnects: listeners receive only differences.

    During a move the next Shield's list may lack a member that just joined: the old Shield has
    reported it, and the next one will a moment later. So a missing member is kept, and leaves if it
    is not reported for `hold_ms`.
    """

    def __init__(self, hold_ms: int = HOLD_MS) -> None:
        self.members: dict[str, Member] = {}
        self.users = 0
        self.complete = False
        self.followers: WeakSet[PresenceChanges] = WeakSet()
        """Weak: the table outlives a loop that was left by `break`, and keeps nothing for it."""
        self._filling: dict[str, Member] | None = None
        self._touched: set[str] = set()
        self._pages_left = 0
        self._following = False
        self._hold_seconds = hold_ms / 1_000
        self._source = _NOBODY
        """The session of the last whole list."""
        self._next_source: object = None
        self._held: dict[str, asyncio.TimerHandle] = {}
        """Missing members, each until its timer ends."""

    def begin(self, answer: dict[str, Any], source: object = None) -> None:
        """Begins a new list from the JSON of a SUB's ACK on `source`. Raises `MalformedFrame`."""
        members = read_members(answer)
        self._filling = {member.connection_id: member for member in members}
        for connection_id in self._filling:
            self._let_go(connection_id)
        self._next_source = source
        self._touched = set()
        self._following = True
        self.users = int(answer.get("users", 0))
        self._pages_left = int(answer.get("pages", 1)) - 1
        self._maybe_replace()

    def hear(self, event_type: str, data: bytes) -> None:
        """Applies a PRESENCE_UPDATE or PRESENCE_LEAVE. Raises ValueError or `MalformedFrame`."""
        update = decode_presence(event_type, data)
        if not self._following:
            return
        if isinstance(update, PresenceLeave):
            self.users = update.users
            for left in update.members:
                if self._filling is not None:
                    self._filling.pop(left.connection_id, None)
                    self._touched.add(left.connection_id)
                if self._filling is None or left.connection_id in self._held:
                    self._drop(left.connection_id)
            return
        # Reads all of them first: an unreadable event changes nothing.
        members = [_member_of(member) for member in update.members]
        self.users = update.users
        for member in members:
            self._let_go(member.connection_id)
            if self._filling is None:
                self._put(member)
            elif not update.snapshot or member.connection_id not in self._touched:
                self._filling[member.connection_id] = member
                if not update.snapshot:
                    self._touched.add(member.connection_id)
        if update.snapshot and self._filling is not None:
            self._pages_left -= 1
            self._maybe_replace()

    def moved(self) -> None:
        """Records that the client has moved: the list does not change until its SUB is answered."""
        self._following = False
        self._filling = None

    def lost(self) -> None:
        """Records a lost connection: the list does not change until the next SUB is answered."""
        self.moved()
        self._source, self._next_source = _NOBODY, None
        for connection_id in list(self._held):
            self._let_go(connection_id)

    def _maybe_replace(self) -> None:
        if self._filling is None or self._pages_left > 0:
            return
        new, self._filling = self._filling, None
        self.complete = True
        elsewhere = self._source not in (_NOBODY, self._next_source)
        self._source = self._next_source
        for connection_id in [known for known in self.members if known not in new]:
            if connection_id in self._held:
                continue
            # Members in `_touched` were reported as left.
            if elsewhere and connection_id not in self._touched:
                loop = asyncio.get_running_loop()
                timer = loop.call_later(self._hold_seconds, self._drop, connection_id)
                self._held[connection_id] = timer
            else:
                self._drop(connection_id)
        for member in new.values():
            self._put(member)

    def _let_go(self, connection_id: str) -> None:
        timer = self._held.pop(connection_id, None)
        if timer is not None:
            timer.cancel()

    def _put(self, member: Member) -> None:
        before = self.members.get(member.connection_id)
        self.members[member.connection_id] = member
        if before != member:
            self._tell(PresenceChange("join" if before is None else "update", member))

    def _drop(self, connection_id: str) -> None:
        self._let_go(connection_id)
        member = self.members.pop(connection_id, None)
        if member is not None:
            self._tell(PresenceChange("leave", member))

    def _tell(self, change: PresenceChange) -> None:
        for follower in list(self.followers):
            follower.hear(change)


class PresenceChanges(AsyncIterator[PresenceChange]):
    """Follows a room's members from the first `anext` on; `room.presence()` creates it.

    It keeps no queue, only the reported members and the connections that differ from them: so the
    number of members bounds it, however slow the loop is. It needs no task, and a dropped iterator
    leaves nothing behind.
    """

    def __init__(self, table: MemberTable, buffer: MessageBuffer) -> None:
        """`buffer` is the subscription's: the iterator ends with it."""
        self._table = table
        self._over = buffer.over
        self._reported: dict[str, Member] = {}
        self._different: dict[str, None] = {}
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun = self._closed = False

    async def __anext__(self) -> PresenceChange:
        """The next change. Unreported changes are still delivered at the end."""
        if not self._begun:
            self._begun = True
            self._different = dict.fromkeys(self._table.members)
            self._table.followers.add(self)
        while True:
            while self._different:
                change = self._take(next(iter(self._different)))
                if change is not None:
                    return change
            if self._closed or self._over.done():
                self._table.followers.discard(self)
                raise StopAsyncIteration
            self._changed = asyncio.get_running_loop().create_future()
            await first_of(self._changed, self._over)

    async def aclose(self) -> None:
        """Ends it; pending changes are dropped."""
        self._closed = True
        self._different.clear()
        self._table.followers.discard(self)
        resolve(self._changed, None)

    def _take(self, connection_id: str) -> PresenceChange | None:
        """The difference of this connection from its last report, if any."""
        del self._different[connection_id]
        before, now = self._reported.get(connection_id), self._table.members.get(connection_id)
        if now is not None:
            self._reported[connection_id] = now
            if before is None:
                return PresenceChange("join", now)
            return None if before == now else PresenceChange("update", now)
        if before is None:
            return None
        del self._reported[connection_id]
        return PresenceChange("leave", before)

    def hear(self, change: PresenceChange) -> None:
        """For the table: a member has changed."""
        connection_id = change.member.connection_id
        if change.kind == "leave" and connection_id not in self._reported:
            # It joined and left between two iterations.
            self._different.pop(connection_id, None)
        else:
            self._different[connection_id] = None
            resolve(self._changed, None)
