"""The state of one room in `subscriptions.py`, and the delivery to its loops."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from arqon._clock import Duration, seconds_of
from arqon._gen import Ack, Envelope, Subscribe
from arqon._session.deltas import KEPT_BYTES
from arqon._subscription.buffer import OVERFLOWS, MessageBuffer, Overflow, ended
from arqon._subscription.position import PatternPositions, Place, Position
from arqon._subscription.replay import Start
from arqon._subscription.state_repair import StateRepair
from arqon._tasks import fail, resolve
from arqon._wire.frames import built
from arqon.errors import ArqonError, error_of
from arqon.message import Message, gap_message
from arqon.presence import LEAVE, UPDATE, MemberTable

# The most queued changes of one room's metadata.
_UPDATES_MAX: Final = 256


def _new_future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False)
class Meta:
    """A member's metadata, as JSON; empty: none."""

    number: int
    """An ascending number: the last change wins; 0: the initial metadata."""
    data: bytes
    carried: Meta | None = None
    """The metadata of the unanswered SUB that makes this change: its own, or newer."""
    taken: asyncio.Future[None] = field(default_factory=_new_future)
    """Done when a Shield has accepted it, or newer metadata."""


class MemberMeta:
    """The metadata of one room, over all sessions."""

    def __init__(self, data: bytes) -> None:
        """`data` is the metadata of the first SUB."""
        self._taken = self.standing = Meta(0, data)
        """`standing`: what the present session's Shield has, once it has answered."""
        self._updates: list[Meta] = []
        """The changes that no Shield has accepted yet."""
        self._number = 0

    @property
    def newest(self) -> Meta:
        """The newest metadata, accepted or not."""
        return self._updates[-1] if self._updates else self._taken

    @property
    def waits(self) -> bool:
        """Whether there are changes that no SUB has contained yet."""
        return any(update.carried is None for update in self._updates)

    @property
    def lacking(self) -> bool:
        """Whether the present session's Shield lacks the newest metadata, if it has answered."""
        return self.waits or self.standing is not self._taken

    def change(self, data: bytes) -> asyncio.Future[None]:
        """Queues new metadata; done when a Shield has accepted it, or newer metadata."""
        # Changes whose caller was cancelled are dropped, unless they were sent.
        self._updates = [u for u in self._updates if u.carried or not u.taken.done()]
        if sum(update.carried is None for update in self._updates) >= _UPDATES_MAX:
            raise error_of("too-many-pending", f"{_UPDATES_MAX} changes of metadata wait")
        self._number += 1
        self._updates.append(Meta(self._number, data))
        return self._updates[-1].taken

    def carry(self, is_next: bool) -> Meta:
        """The newest metadata, for a SUB; on the next session, where a refusal is fatal, the last
        accepted one."""
        if is_next:
            return self._taken
        newest = self.newest
        for update in self._updates:
            update.carried = update.carried or newest
        return newest

    def take(self, carried: Meta) -> None:
        """Records that a Shield accepted it; another Shield may have accepted newer metadata."""
        if self.is_new(carried):
            self._taken = carried
            self._settle([u for u in self._updates if u.number <= carried.number], None)

    def keep(self, carried: Meta) -> None:
        """Queues its changes again."""
        for update in self._updates:
            if update.carried is carried:
                update.carried = None

    def refuse(self, carried: Meta, error: ArqonError) -> None:
        """Records that a Shield refused its changes: the previous or newer metadata stays."""
        self._settle([u for u in self._updates if u.carried is carried], error)

    def answered_late(self, carried: Meta, error: ArqonError | None) -> None:
        """Handles a late answer of the previous Shield."""
        if error is None:
            self.take(carried)
        elif error.reason == "connection-lost":
            self.keep(carried)
        else:
            self.refuse(carried, error)

    def is_new(self, carried: Meta) -> bool:
        """Whether no Shield has accepted it yet, nor newer metadata."""
        return carried.number > self._taken.number

    def end(self, error: ArqonError) -> None:
        self._settle(self._updates, error)

    def _settle(self, updates: list[Meta], error: ArqonError | None) -> None:
        self._updates = [update for update in self._updates if update not in updates]
        for update in updates:
            if error is None:
                resolve(update.taken, None)
            else:
                fail(update.taken, error.again())


# The most held messages of one room during a move; above, the loops get a GAP instead.
_HELD_MAX: Final = 8_192
# Remembered messages of the old session during a move; older ones may be delivered twice.
_SEEN_MAX: Final = 65_536
# How long the connection stops reading for a full buffer with policy "error".
_SPACE_SECONDS: Final = 0.25


@dataclass(frozen=True)
class SubscribeOptions:
    """The options of a loop. Conflicting options are a ValueError."""

    presence: bool = False
    observer: bool = False
    member_meta: Any = None
    no_echo: bool = False
    position: Position | None = None
    from_: Literal["start"] | int | None = None
    last: int | None = None
    since: Duration | None = None
    buffer: int = 1_024
    buffer_bytes: int = 33_554_432
    on_overflow: Overflow = "error"
    filter: str = ""
    delta: bool = False
    positions: bool = False
    verify: bool | str = False

    def __post_init__(self) -> None:
        _ = self.start
        if not self.presence and (self.observer or self.member_meta is not None):
            raise ValueError("observer and member_meta need presence=True")
        if self.observer and self.member_meta is not None:
            raise ValueError("an observer is no member and has no member_meta")
        if not isinstance(self.verify, (bool, str)):
            raise ValueError(f"verify is {self.verify!r}; expected True or a checkpoint")
        if self.buffer < 2:
            raise ValueError(f"buffer is {self.buffer}; expected at least 2")
        if self.buffer_bytes < 1:
            raise ValueError(f"buffer_bytes is {self.buffer_bytes}; expected at least 1")
        if self.on_overflow not in OVERFLOWS:
            known = ", ".join(repr(policy) for policy in OVERFLOWS)
            raise ValueError(f"on_overflow is {self.on_overflow!r}; expected one of {known}")

    @property
    def start(self) -> Start | None:
        """The first stored message; None: no stored messages."""
        ways = (self.from_, self.last, self.since, self.position)
        if sum(way is not None for way in ways) > 1:
            raise ValueError("one of from_, last, since and position says where to begin")
        if self.from_ is not None:
            after = 0 if self.from_ == "start" else self.from_
            if not isinstance(after, int) or after < 0:
                raise ValueError(f'from_ is {after!r}; expected "start" or an offset of at least 0')
            return Start(after=after)
        if self.last is not None:
            if self.last < 1:
                raise ValueError(f"last is {self.last}; expected at least 1")
            return Start(last=self.last)
        if self.since is not None:
            since_seconds = seconds_of("since", self.since)
            if since_seconds <= 0:
                raise ValueError(f"since is {self.since!r}; expected more than 0")
            return Start(since_seconds=since_seconds)
        return None

    @property
    def wish(self) -> tuple[bool, bool, bool, str, bool, bool]:
        """The options that must be equal for all loops on a room, because they share one SUB."""
        how = self.presence, self.observer, self.no_echo, self.filter
        return (*how, self.delta, self.positions)


@dataclass(frozen=True)
class Accepted:
    """A SUB with this position and metadata, and its ACK."""

    asked: Position | None
    meta: Meta
    ack: Ack


@dataclass(eq=False)
class Move:
    """A room during a move from one session to the next."""

    held: list[Envelope] = field(default_factory=list[Envelope])
    overflowed: bool = False
    seen: dict[object, None] = field(default_factory=dict[object, None])
    accepted: Accepted | None = None
    """The SUB on the next session."""

    def hold(self, envelope: Envelope) -> None:
        """Holds a message of the next session until that is the present one."""
        if len(self.held) < _HELD_MAX:
            self.held.append(envelope)
        else:
            self.overflowed = True

    def hear_old(self, envelope: Envelope) -> None:
        """Records a message that the old session has delivered."""
        self.seen[key_of(envelope)] = None
        if len(self.seen) > _SEEN_MAX:
            del self.seen[next(iter(self.seen))]

    def repeats(self, envelope: Envelope, room: str) -> bool:
        """Whether the old session has already delivered it to this room's loops."""
        placed = envelope.offset and envelope.room_id == room
        return not placed and key_of(envelope) in self.seen


def key_of(envelope: Envelope) -> tuple[object, ...]:
    """A key that two deliveries of one message share: its id, or the content of a backend's."""
    sender, twist = envelope.sender_id, envelope.headers.get("X-Twist-ID")
    if twist:
        return sender, twist
    kind = envelope.WhichOneof("payload")
    payload = getattr(envelope, kind).SerializeToString() if kind else b""
    return sender, envelope.timestamp, envelope.message_id, payload


class RoomEntry:
    """One room that this connection receives."""

    def __init__(self, room: str, options: SubscribeOptions) -> None:
        self.room = room
        self.options = options
        """The options of all its loops, and the start of the first one."""
        self.buffers: set[MessageBuffer] = set()
        """Of its loops."""
        self.table = MemberTable() if options.presence else None
        self.place = Place(options.position, options.no_echo)
        self.place.reading = options.start is not None
        self.positions = PatternPositions() if options.positions else None
        """The positions of a pattern's rooms."""
        self.meta = MemberMeta(encode_meta(options.member_meta))
        self.received = False
        """True after an ACK on any session: then a new SUB means that messages may be lost."""
        self.active = False
        """True after an ACK on the present session."""
        self.asking: list[object] = []
        """The sessions of the unanswered SUBs, one item for each SUB."""
        self.retries: dict[object, asyncio.TimerHandle] = {}
        """Retry timers of the SUB, by session."""
        self.move: Move | None = None
        self.replay: asyncio.Task[None] | None = None
        """The task that delivers stored messages."""
        self.repair: StateRepair | None = None
        """Fetches missed changes of the room's state."""
        # A filter that no SUB can carry is refused here, before anything refers to the entry.
        self.sub(0, options.position, b"")

    @property
    def unplaced(self) -> bool:
        """Whether a new session means missing messages that no position can recover."""
        return self.received and self.place.position is None and not self.place.reading

    def lacking(self, session: object) -> bool:
        """Whether the present session's Shield lacks a position or metadata, if it has answered."""
        return self.place.asked(session) is not None or self.meta.lacking

    def agree(self, options: SubscribeOptions) -> None:
        """Raises ValueError if another loop has other options than the present SUB."""
        if options.wish != self.options.wish:
            raise ValueError(f"room {self.room} is subscribed with other options already")
        if options.position is not None or options.start is not None:
            raise ValueError(f"room {self.room}: where to begin is for the first loop only")
        meta = encode_meta(options.member_meta)
        if meta and meta != self.meta.newest.data:
            raise ValueError(f"room {self.room}: use update_meta to change the metadata")

    def blocked(self, size_bytes: int) -> bool:
        """Whether some loop has no space for a message of this size."""
        # Called for every message: a generator would cost more.
        for buffer in self.buffers:  # noqa: SIM110
            if buffer.blocked(size_bytes):
                return True
        return False

    async def space(self, size_bytes: int) -> None:
        """Returns when every loop has space for a message of this size, or after a timeout."""
        for buffer in list(self.buffers):
            if buffer.blocked(size_bytes):
                # Then the buffer drops, and the loop gets a GAP.
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(buffer.space(size_bytes), _SPACE_SECONDS)

    def new_meta(self, member_meta: Any) -> asyncio.Future[None]:
        """Queues new metadata; done when a Shield has accepted it."""
        if not self.options.presence or self.options.observer:
            raise ValueError("only a subscription with presence and without observer is a member")
        return self.meta.change(encode_meta(member_meta))

    def sub(
        self, request_id: int, asked: Position | None, meta: bytes, positions: bytes = b""
    ) -> Subscribe:
        """The SUB with this metadata, and with the position `asked` or `positions`, if any."""
        options = self.options
        return built(
            Subscribe,
            room_id=self.room,
            request_id=request_id,
            presence=options.presence,
            observer=options.observer,
            no_echo=options.no_echo,
            filter=options.filter,
            delta=options.delta,
            delta_bytes=KEPT_BYTES if options.delta else 0,
            vcdiff=options.delta,
            batch=True,
            member_meta=meta,
            after_offset=0 if asked is None else asked.offset,
            epoch="" if asked is None else asked.epoch,
            positions=positions,
        )

    def accept(self, carried: Meta) -> None:
        """Records that a SUB was accepted on the present session."""
        if self.repair is not None and self.received and not self.active:
            self.repair.renew()
        self.active = True
        self.meta.take(carried)
        self.meta.standing = carried

    def cross(self, lossless: bool) -> tuple[str | None, Accepted | None, list[Envelope]]:
        """Makes the next session the present one; returns a loss, its SUB, held messages."""
        move, self.active = self.move, False
        if move is None or move.accepted is None:
            self.move = None
            if self.table is not None:
                self.table.moved()
            return "reconnect" if self.unplaced else None, None, []
        self.active = True
        self.meta.standing = move.accepted.meta
        gap = "too many messages while moving" if move.overflowed else None
        if not lossless and self.unplaced:
            gap = "reconnect"
        held, move.held = move.held, []
        due = [e for e in held if is_presence(e) or not move.repeats(e, self.room)]
        if move.overflowed and self.place.position is not None and not self.place.reading:
            # Some stored messages were not held: another SUB delivers them.
            if self.table is not None:
                self.table.moved()
            return gap, None, due
        return gap, move.accepted, due

    def push(self, message: Message) -> None:
        for buffer in tuple(self.buffers):
            buffer.push(message)

    def gap(self, reason: str) -> None:
        """Delivers a GAP to every loop, and repairs the room's state."""
        if self.repair is not None:
            self.repair.doubt()
        self.tell_gap(reason)

    def tell_gap(self, reason: str) -> None:
        """Delivers a GAP to every loop."""
        self.push(gap_message(self.room, reason))

    def tell_ready(self) -> None:
        """Resolves `ready` of the loops, if SUB, members and the first page are complete."""
        finding = self.place.reading and self.place.position is None
        if not self.active or finding or (self.table is not None and not self.table.complete):
            return
        for buffer in self.buffers:
            resolve(buffer.ready, None)

    def end(self, error: ArqonError | None) -> None:
        """Ends the loops: normally without `error`, otherwise by raising it there."""
        self.cancel_retries()
        if self.replay is not None and self.replay is not asyncio.current_task():
            self.replay.cancel()
        if self.repair is not None:
            self.repair.end()
        self.meta.end(error or ended())
        if self.table is not None:
            self.table.lost()
        buffers, self.buffers = self.buffers, set()
        for buffer in buffers:
            buffer.end(error)

    def retry(self, session: object, delay_ms: float, send: Callable[[], None]) -> None:
        """Sends the SUB again after this delay."""
        self.cancel_retry(session)
        self.retries[session] = asyncio.get_running_loop().call_later(delay_ms / 1_000, send)

    def cancel_retry(self, session: object) -> None:
        timer = self.retries.pop(session, None)
        if timer is not None:
            timer.cancel()

    def cancel_retries(self) -> None:
        for session in list(self.retries):
            self.cancel_retry(session)


def encode_meta(meta: Any) -> bytes:
    """Metadata as JSON; None: none. Raises TypeError for values that JSON cannot represent."""
    return b"" if meta is None else json.dumps(meta, separators=(",", ":")).encode()


def is_presence(envelope: Envelope) -> bool:
    """Whether an event is one of the bus's presence events."""
    from_bus = envelope.sender_id == "" and envelope.WhichOneof("payload") == "event"
    return from_bus and envelope.event.type in (UPDATE, LEAVE)
