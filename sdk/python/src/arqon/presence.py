"""Who is in a room: `Member`, `PresenceChange`, and the table that follows what the Shield says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from arqon._frames import decode_presence
from arqon._gen.presence_pb2 import PresenceLeave, PresenceMember
from arqon.errors import error_of
from arqon.message import json_of

UPDATE: Final = "PRESENCE_UPDATE"
LEAVE: Final = "PRESENCE_LEAVE"


@dataclass(frozen=True)
class Member:
    """One connection in a room. A user with several connections is several members."""

    connection_id: str
    user_id: str
    meta: Any
    """What the member gave as `member_meta`; None when it gave nothing."""
    joined_ms: int
    """Unix ms of the join; an update of `meta` keeps it."""


@dataclass(frozen=True)
class PresenceChange:
    """Somebody came (`join`), has other metadata (`update`) or went (`leave`, as last known)."""

    kind: Literal["join", "update", "leave"]
    member: Member


@dataclass(frozen=True)
class MemberCount:
    """How many are in a room."""

    connections: int
    users: int
    """Distinct users: who is there with two connections counts once."""


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
        raise error_of("malformed-frame", "from the server: an answer without members") from None


def _member_of(member: PresenceMember) -> Member:
    meta = json_of(member.meta) if member.meta else None
    return Member(member.connection_id, member.user_id, meta, member.joined_ms)


class MemberTable:
    """The members of one room, right over reconnects: listeners hear only what is different."""

    def __init__(self) -> None:
        """Empty, and not following anything yet."""
        self.members: dict[str, Member] = {}
        self.users = 0
        self.complete = False
        self._listeners: list[Callable[[PresenceChange], None]] = []
        self._filling: dict[str, Member] | None = None
        self._touched: set[str] = set()
        self._pages_left = 0
        self._following = False

    def listen(self, listener: Callable[[PresenceChange], None]) -> Callable[[], None]:
        """Hears every change until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def begin(self, answer: dict[str, Any]) -> None:
        """The JSON of a SUB's ACK: a new list begins. Raises `MalformedFrame`."""
        members = read_members(answer)
        self._filling = {member.connection_id: member for member in members}
        self._touched = set()
        self._following = True
        self.users = int(answer.get("users", 0))
        self._pages_left = int(answer.get("pages", 1)) - 1
        self._maybe_replace()

    def hear(self, event_type: str, data: bytes) -> None:
        """A PRESENCE_UPDATE or PRESENCE_LEAVE. Raises ValueError or `MalformedFrame`."""
        update = decode_presence(event_type, data)
        if not self._following:
            return
        if isinstance(update, PresenceLeave):
            self.users = update.users
            self._leave(member.connection_id for member in update.members)
            return
        # All of them first: an event that cannot be read changes nothing.
        members = [_member_of(member) for member in update.members]
        self.users = update.users
        for member in members:
            if self._filling is None:
                self._put(member)
            elif not update.snapshot or member.connection_id not in self._touched:
                self._filling[member.connection_id] = member
                if not update.snapshot:
                    self._touched.add(member.connection_id)
        if update.snapshot and self._filling is not None:
            self._pages_left -= 1
            self._maybe_replace()

    def lost(self) -> None:
        """The connection is gone: the list stands still until the next SUB is answered."""
        self._following = False
        self._filling = None

    def _leave(self, connection_ids: Iterable[str]) -> None:
        for connection_id in connection_ids:
            if self._filling is not None:
                self._filling.pop(connection_id, None)
                self._touched.add(connection_id)
            else:
                self._drop(connection_id)

    def _maybe_replace(self) -> None:
        if self._filling is None or self._pages_left > 0:
            return
        new, self._filling = self._filling, None
        self.complete = True
        for connection_id in [known for known in self.members if known not in new]:
            self._drop(connection_id)
        for member in new.values():
            self._put(member)

    def _put(self, member: Member) -> None:
        before = self.members.get(member.connection_id)
        self.members[member.connection_id] = member
        if before != member:
            self._tell(PresenceChange("join" if before is None else "update", member))

    def _drop(self, connection_id: str) -> None:
        member = self.members.pop(connection_id, None)
        if member is not None:
            self._tell(PresenceChange("leave", member))

    def _tell(self, change: PresenceChange) -> None:
        for listener in list(self._listeners):
            listener(change)
