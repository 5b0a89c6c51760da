"""A room: publish, commands, history, members; as `async with` and `async for`, a subscription."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from arqon._gen import Command, Envelope, Event, HistoryQuery
from arqon._proof.verified_log import LogVerifier, room_log
from arqon._session.requests import send, traced_by
from arqon._subscription.buffer import MessageBuffer
from arqon._subscription.position import Position
from arqon._subscription.replay import replay
from arqon._subscription.room_entry import RoomEntry, SubscribeOptions
from arqon._subscription.state_repair import StateRepair
from arqon._wire.frames import answer_of, built, decode_history, fields, malformed
from arqon.codec import Codec
from arqon.errors import error_of
from arqon.explanation import Published
from arqon.listener import Listener, OnInvalid, TypedRoom
from arqon.message import JSON_TYPE, Message, encode_data, json_of, message_of
from arqon.presence import Member, MemberCount, MemberTable, PresenceChanges, read_members
from arqon.room_state import RoomState, StateVersion

if TYPE_CHECKING:
    from arqon._driver import Driver

T = TypeVar("T")
# A room's id, or a prefix of ids followed by `*`.
_ROOM: Final = re.compile(r"[A-Za-z0-9_~:=-]{1,64}\*?|\*")
# Commands that change nothing: they may be sent again without a `command_id`.
_READS: Final = ("room.get", "history.get")


@dataclass(frozen=True)
class History:
    """A page of a durable room's history."""

    messages: list[Message]
    offset: int
    """The room's current position."""
    epoch: str
    more: bool
    """Whether there are more in this direction."""


class Room:
    """A room of one connection; `bus.room(…)` creates it.

    `async with room:` subscribes and waits for the acknowledgement; `async for message in room:`
    reads the messages. A message with `is_gap` marks lost messages. Leaving the block ends the
    subscription.

    A pattern, such as `orders-*`, matches all rooms with that prefix, for subscriptions only:
    `Message.room` is the room of each message, and after a reconnect there is a gap. With
    `positions` its durable rooms continue from their positions.
    """

    def __init__(self, room_id: str, bus: Driver, options: SubscribeOptions) -> None:
        if _ROOM.fullmatch(room_id) is None:
            raise error_of("invalid-room", repr(room_id[:100]))
        if options.positions and not room_id.endswith("*"):
            raise ValueError(f"room {room_id}: positions are a pattern's; a room has a position")
        if options.verify and bus.options.proof is None:
            raise ValueError(f"room {room_id}: verify needs the option `proof` of connect")
        if options.verify and room_id.endswith("*"):
            raise ValueError(f"room {room_id}: verify is a room's; each has its own log")
        self.id = room_id
        self.bus = bus
        """For the SDK's own use."""
        self._options = options
        self.filter = options.filter
        self._entry: RoomEntry | None = None
        self._buffer: MessageBuffer | None = None
        self._log: LogVerifier | None = None
        self._holding: asyncio.Task[Message] | None = None
        """The verification of the next message; it continues if its caller is cancelled."""
        self.state = RoomState(self)

    def subscribe(self, **options: Any) -> Room:
        """The same room with these options of `Connection.room` instead of its own."""
        return Room(self.id, self.bus, SubscribeOptions(**options))

    async def __aenter__(self) -> Room:
        """Subscribes. Raises the refusal (`NotGranted`, `RoomBanned`, `NotDurable`, …)."""
        if self._buffer is not None:
            raise RuntimeError(f"room {self.id} is entered already; use another bus.room(…)")
        if self.bus.over:
            raise self.bus.closed_error()
        if self._options.verify:
            self._log = room_log(self.bus, self.id, self._options)
        entry, buffer = self.bus.subscriptions.subscribe(self.id, self._options)
        self._entry, self._buffer = entry, buffer
        entry.repair = entry.repair or StateRepair(self.state, entry.push, entry.tell_gap)
        if (start := self._options.start) is not None:
            entry.replay = self.bus.spawn(replay(self, entry, start))
        try:
            await asyncio.shield(buffer.ready)
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._leave()

    def __aiter__(self) -> AsyncIterator[Message]:
        """The messages from now on; ends with the subscription or the connection."""
        return self

    def __anext__(self) -> Coroutine[Any, Any, Message]:
        """The next message.

        Raises `SlowConsumer` if the buffer overflowed (with `on_overflow="error"`), or the error
        that ended the subscription or the connection; with `verify` also the violation.
        """
        if self._buffer is None:
            raise RuntimeError(f"room {self.id} is not subscribed: use `async with`")
        if self._log is not None:
            return self._verified(self._buffer, self._log)
        return self._buffer.get()

    async def _verified(self, buffer: MessageBuffer, log: LogVerifier) -> Message:
        if self._holding is None:
            self._holding = self.bus.spawn(log.hold(await buffer.get()))
        holding = self._holding
        await asyncio.wait({holding})
        self._holding = None
        if holding.cancelled():
            # The loop or the connection has ended meanwhile: unverified messages are dropped.
            raise StopAsyncIteration
        if holding.exception() is not None:
            self._leave()
        return holding.result()

    async def publish(
        self,
        type: str,
        data: Any = b"",
        *,
        message_id: str | None = None,
        ack: bool = True,
        timeout_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        schema_id: str = "",
        trace_id: str | None = None,
        traceparent: str | None = None,
    ) -> Published:
        """Publishes an event; returns its offset, 0 in a room that is not durable.

        The result also has the ids for `Connection.explain`: see `Published`.

        `data`: bytes unchanged, str as `text/plain`, anything else as JSON. With `message_id` the
        SDK retries over reconnects and after 503 until `timeout_ms`, and the message is delivered
        once. Without `ack` it returns when the message is passed to the socket, and only `on_error`
        receives a refusal. Raises the refusal, `ConnectionLost` (it may have been delivered),
        `AnswerTimeout`, `TooManyPending` (the queue is full), `ConnectionClosed`.
        """
        raw, kind = encode_data(data, content_type)
        event = built(Event, type=type, data=raw, content_type=kind, schema_id=schema_id)
        envelope = self._envelope(trace_id, traceparent, headers, message_id)
        keyed = message_id is not None
        answer = await send(self.bus, envelope, event, keyed=keyed, timeout_ms=timeout_ms, ack=ack)
        self.bus.subscriptions.published(self.id, answer.offset)
        return Published(
            answer.offset,
            room=self.id,
            message_id=envelope.message_id,
            trace_id=envelope.trace_id,
            receipt=(json_of(answer.result).get("receipt") or "") if answer.result else None,
        )

    async def command(
        self,
        name: str,
        data: Any = None,
        *,
        command_id: str | None = None,
        expect_version: int = 0,
        after_version: int = 0,
        epoch: str = "",
        fence: int = 0,
        timeout_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
        trace_id: str | None = None,
        traceparent: str | None = None,
    ) -> Any:
        """Sends a command to the room's Brain; returns its answer as JSON.

        `expect_version` 0: any. With `command_id` the SDK retries over reconnects, and the command
        is applied once. Raises the refusal: `VersionConflict`, `Locked`, `FenceMismatch`,
        `CommandTimeout` (it may have run), …, and as `publish` does.
        """
        command = built(
            Command,
            name=name,
            data=b"" if data is None else encode_data(data, JSON_TYPE)[0],
            content_type=JSON_TYPE if data is not None else "",
            expect_version=expect_version,
            after_version=after_version,
            epoch=epoch,
            fence=fence,
            command_id=command_id or "",
        )
        envelope = self._envelope(trace_id, traceparent, headers)
        keyed = bool(command_id) or name in _READS
        return answer_of(
            await send(self.bus, envelope, command, keyed=keyed, timeout_ms=timeout_ms)
        )

    async def history(
        self,
        *,
        after: int = 0,
        before: int = 0,
        limit: int = 0,
        reverse: bool = False,
        filter: str = "",
        timeout_ms: int | None = None,
    ) -> History:
        """A page of a room's history: offsets above `after` and below `before` (0: no bound).

        `limit` 0 is the bus's default, 100; `reverse`: the newest first; `filter`: a CEL
        expression. Raises `NotDurable`, and as `command` does.
        """
        query = built(
            HistoryQuery, after=after, before=before, limit=limit, reverse=reverse, filter=filter
        )
        command = Command(
            name="history.get",
            data=query.SerializeToString(),
            content_type="application/protobuf",
        )
        envelope = Envelope(room_id=self.id, trace_id=traced_by(None, None, None, None)[0])
        ack = await send(self.bus, envelope, command, keyed=True, timeout_ms=timeout_ms)
        ordered = self.bus.options.proof is not None
        page = decode_history(ack.result, ordered)
        messages = [message_of(envelope, page.epoch, ordered) for envelope in page.messages]
        return History(messages, page.offset, page.epoch, page.more)

    def members(self) -> list[Member]:
        """The members of the room, as last reported to this client. Needs `presence=True`."""
        return list(self._table()[1].members.values())

    def member_count(self) -> MemberCount:
        """The number of members, as last reported to this client. Needs `presence=True`."""
        table = self._table()[1]
        return MemberCount(len(table.members), table.users)

    def presence(self) -> PresenceChanges:
        """The present members as joins, then joins, updates and leaves.

        After a reconnect it reports the differences. A slow loop gets the net differences; members
        that joined and left in between are omitted. Needs `presence=True`; ends with the
        subscription.
        """
        return PresenceChanges(*self._table()[1:])

    async def update_meta(self, member_meta: Any) -> None:
        """Changes this member's metadata. Needs `presence=True`. Raises the refusal."""
        await self.bus.subscriptions.update_meta(self._table()[0], member_meta)

    async def list_members(self) -> AsyncIterator[Member]:
        """Lists the room's members, page by page. Needs the grant `presence`, no subscription."""
        data: dict[str, Any] | None = None
        while True:
            page = await self.command("presence.list", data)
            for member in read_members(page):
                yield member
            following = page.get("next")
            if following is None:
                return
            if data is not None and data["after"] == following:
                raise malformed("a page that follows itself")
            data = {"after": following}

    async def count(self) -> MemberCount:
        """The number of members in the room, without a subscription."""
        answer = await self.command("presence.count")
        found = fields(answer, connections=int, users=int)
        return MemberCount(found["connections"], found["users"])

    async def kick(
        self, *, user_id: str | None = None, connection_id: str | None = None, reason: str = ""
    ) -> StateVersion:
        """Ends a user's or connection's subscriptions; both may return. For service and admin."""
        target = {"user_id": user_id, "connection_id": connection_id, "reason": reason or None}
        return await self._moderate("room.kick", target)

    async def ban(
        self,
        user_id: str,
        *,
        scope: Literal["tenant", "room"] = "tenant",
        ttl_ms: int | None = None,
        reason: str = "",
    ) -> StateVersion:
        """Bans a user, and ends its connections or subscriptions; `ttl_ms` None: until lifted."""
        data = {"user_id": user_id, "scope": scope, "ttl_ms": ttl_ms, "reason": reason or None}
        return await self._moderate("room.ban", data)

    async def unban(
        self, user_id: str, *, scope: Literal["tenant", "room"] = "tenant"
    ) -> StateVersion:
        """Lifts the ban of that scope."""
        return await self._moderate("room.unban", {"user_id": user_id, "scope": scope})

    def typed(
        self, type: str, codec: Codec[T], *, on_invalid: OnInvalid = "report"
    ) -> TypedRoom[T]:
        """This room's events of one type, as values of `codec`."""
        return TypedRoom(self, type, codec, on_invalid)

    def listen(self, handler: Callable[[Message], Awaitable[object] | object]) -> Listener[Message]:
        """`async with room.listen(handler):` calls the handler for each message, instead of a loop.

        An async handler is awaited before the next message. Its exception goes to `on_error` as
        `HandlerFailed` (with `__cause__`), or without `on_error` to asyncio's exception handler;
        the next message follows. Buffer and overflow are the room's.
        """
        return Listener(self, self.bus, handler)

    @property
    def position(self) -> Position | None:
        """This client's position in a durable room; save it to resume from there."""
        return None if self._entry is None else self._entry.place.position

    @property
    def checkpoint(self) -> str | None:
        """With `verify`: the newest verified checkpoint, for `verify` of a later visit."""
        return None if self._log is None else self._log.checkpoint

    @property
    def recovered(self) -> bool | None:
        """Whether the last SUB with a position recovered all missed messages."""
        return None if self._entry is None else self._entry.place.recovered

    async def _moderate(self, name: str, data: dict[str, Any]) -> StateVersion:
        answer = await self.command(name, {k: v for k, v in data.items() if v is not None})
        found = fields(answer, version=int, epoch=str)
        return StateVersion(found["version"], found["epoch"])

    def _table(self) -> tuple[RoomEntry, MemberTable, MessageBuffer]:
        entry, buffer = self._entry, self._buffer
        if entry is None or entry.table is None or buffer is None:
            raise RuntimeError(f"room {self.id} is not subscribed with presence=True")
        return entry, entry.table, buffer

    def _leave(self) -> None:
        if self._entry is not None and self._buffer is not None:
            self.bus.subscriptions.leave(self._entry, self._buffer)
            self._buffer = None
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        if self._log is not None:
            self._log.files.close()

    def _envelope(
        self,
        trace_id: str | None,
        traceparent: str | None,
        headers: Mapping[str, str] | None,
        message_id: str | None = None,
    ) -> Envelope:
        current = self.bus.options.traceparent
        trace, sent = traced_by(trace_id, traceparent, headers, current)
        ids = {"room_id": self.id, "trace_id": trace, "message_id": message_id or ""}
        return built(Envelope, **ids, headers=sent)
