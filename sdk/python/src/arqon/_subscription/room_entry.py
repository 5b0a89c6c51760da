"""What `subscriptions.py` knows of one room, and how its loops learn of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from arqon._gen import Ack, Envelope, Subscribe
from arqon._session.delta_bases import KEPT_BYTES
from arqon._state.state_repair import StateRepair
from arqon._subscription.buffer import OVERFLOWS, MessageBuffer, Overflow
from arqon._subscription.member_meta import CarriedMeta, MemberMeta
from arqon._subscription.position import NONE, PatternPositions, Place, Position
from arqon._subscription.replay import Start
from arqon._time.clock import Duration, seconds_of
from arqon.errors import ArqonError, error_of
from arqon.message import Message, gap_message
from arqon.presence import LEAVE, UPDATE, MemberTable

# Messages of one room that may wait while the client moves; above, the room gets a GAP instead.
_HELD_MAX: Final = 8_192
# Messages of one room that are remembered while it is heard twice; the oldest go first.
_SEEN_MAX: Final = 65_536
# How long the connection stops reading for a full buffer with policy "error".
_SPACE_SECONDS: Final = 0.25


@dataclass(frozen=True)
class SubscribeOptions:
    """How a loop subscribes to a room. What contradicts itself is a ValueError."""

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
        """Which of the stored messages come first; None: none."""
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
        """What all loops on a room must agree on: there is one SUB."""
        how = self.presence, self.observer, self.no_echo, self.filter
        return (*how, self.delta, self.positions)


@dataclass(eq=False)
class Reader:
    """One loop over a room. `ready` is done once the SUB stands, with the whole list of members."""

    buffer: MessageBuffer
    ready: asyncio.Future[None]


@dataclass(eq=False)
class Move:
    """A room on its way from one session to the next."""

    held: list[Envelope] = field(default_factory=list[Envelope])
    overflowed: bool = False
    seen: dict[tuple[str, str], None] = field(default_factory=dict[tuple[str, str], None])
    answer: tuple[Position | None, Ack] | None = None
    """What the SUB on the next session asked for, and its ACK."""
    meta: int = 0
    """The number of the metadata in that SUB."""

    def hold(self, envelope: Envelope) -> None:
        """Keeps what the next session delivers, until it counts."""
        if len(self.held) < _HELD_MAX:
            self.held.append(envelope)
        else:
            self.overflowed = True

    def hear_old(self, envelope: Envelope) -> None:
        """Remembers what the old session has delivered."""
        self.seen[key_of(envelope)] = None
        if len(self.seen) > _SEEN_MAX:
            del self.seen[next(iter(self.seen))]

    def repeats(self, envelope: Envelope, room: str) -> bool:
        """Whether the old session has delivered it to this room's loops already."""
        placed = envelope.offset and envelope.room_id == room
        return not placed and key_of(envelope) in self.seen


def key_of(envelope: Envelope) -> tuple[str, str]:
    """What tells that two deliveries are of the same message."""
    return envelope.sender_id, envelope.headers.get("X-Twist-ID", "")


class RoomEntry:
    """One room that this connection receives."""

    def __init__(self, room: str, options: SubscribeOptions) -> None:
        """Without loops; no SUB was sent."""
        self.room = room
        self.options = options
        """What all its loops agree on, and where the first one begins."""
        self.readers: set[Reader] = set()
        self.table = MemberTable() if options.presence else None
        self.place = Place(options.position, options.no_echo)
        self.place.reading = options.start is not None
        self.positions = PatternPositions() if options.positions else None
        """Of the rooms of a pattern."""
        self.meta = MemberMeta(encode_meta(options.member_meta))
        self.heard = False
        """An ACK has come on some session: a new SUB means that something may be lost."""
        self.active = False
        """An ACK has come on the present session."""
        self.asking: list[object] = []
        """The sessions of the SUBs that are not answered yet, one for each."""
        self.retries: dict[object, asyncio.TimerHandle] = {}
        """By session."""
        self.move: Move | None = None
        self.replay: asyncio.Task[None] | None = None
        """Gives the loops what is stored."""
        self.repair: StateRepair | None = None
        """Of what happens to the room's state."""

    @property
    def unplaced(self) -> bool:
        """Messages are missing when the room is heard on another session; no position tells."""
        return self.heard and self.place.position is None and not self.place.reading

    def lacking(self, session: object) -> bool:
        """The present session's Shield has yet to receive something, if it has answered at all."""
        return self.place.asked(session) is not None or self.meta.lacking

    def agree(self, options: SubscribeOptions) -> None:
        """Raises ValueError when another loop wants what the present SUB does not say."""
        if options.wish != self.options.wish:
            raise ValueError(f"room {self.room} is subscribed with other options already")
        if options.position is not None or options.start is not None:
            raise ValueError(f"room {self.room}: where to begin is for the first loop only")
        if options.member_meta is not None and encode_meta(options.member_meta) != self.meta.newest:
            raise ValueError(f"room {self.room}: use update_meta to change the metadata")

    def blocked(self, size_bytes: int) -> bool:
        """Whether some loop has no space for such a message."""
        # Asked for every message: a generator would cost more.
        for reader in self.readers:  # noqa: SIM110
            if reader.buffer.blocked(size_bytes):
                return True
        return False

    async def space(self, size_bytes: int) -> None:
        """Returns when every loop has space for such a message, or has had time to make some."""
        for reader in list(self.readers):
            if reader.buffer.blocked(size_bytes):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.buffer.space(size_bytes), _SPACE_SECONDS)

    def new_meta(self, member_meta: Any) -> asyncio.Future[None]:
        """Other metadata for the next SUB; done when a Shield has taken it."""
        if not self.options.presence or self.options.observer:
            raise ValueError("only a subscription with presence and without observer is a member")
        return self.meta.change(encode_meta(member_meta))

    def sub(
        self, request_id: int, asked: Position | None, meta: bytes, positions: bytes = b""
    ) -> Subscribe:
        """The SUB with this metadata, from `asked` or `positions` on if there are some."""
        options = self.options
        return Subscribe(
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

    def asked_positions(
        self, stands: bool, left_out: Container[str], frame_bytes: int
    ) -> tuple[bytes, int]:
        """The positions for the next SUB, and how many; where messages come already they go on."""
        if self.positions is None:
            return b"", 0
        return (NONE, 0) if stands else self.positions.asked(left_out, frame_bytes)

    def accepted(self, carried: CarriedMeta) -> None:
        """A SUB was accepted on the present session."""
        if self.repair is not None and self.heard and not self.active:
            self.repair.renew()
        self.active = True
        self.meta.take(carried)
        self.meta.standing = carried.number

    def refused(
        self, error: ArqonError, carried: CarriedMeta, session: object, is_next: bool
    ) -> Literal["stand", "now", "later", "fail"]:
        """What follows when a SUB was refused or lost: it stands as it was, goes again, or ends."""
        if error.reason == "connection-lost":
            self.meta.keep(carried)
            return "stand"
        place = self.place
        # Messages of the room come on this session already, and count.
        stands = self.active and not is_next if place.reading else place.follows(session)
        if error.reason == "not-durable" and place.position is not None:
            # The room was durable and is not any longer: from here on as any other.
            if not stands:
                self.gap("reconnect")
            place.forget()
            self.meta.keep(carried)
            return "now"
        if error.retryable and not stands:
            self.meta.keep(carried)
            return "later"
        # With what was taken before, the same SUB may be accepted.
        again = error.retryable or self.meta.is_new(carried)
        self.meta.refuse(carried, error)
        if not stands:
            return "later" if again else "fail"
        # The subscription stands: only the new metadata was refused, or the position. What another
        # Shield has taken before is still to be told to this one.
        return "later" if self.lacking(session) and (again or self.meta.waits) else "stand"

    def cross(
        self, lossless: bool
    ) -> tuple[str | None, tuple[Position | None, Ack] | None, list[Envelope]]:
        """The next session is the present one: a loss before it, its answer, what was held."""
        move, self.active = self.move, False
        if move is None or move.answer is None:
            self.move = None
            if self.table is not None:
                self.table.moved()
            return "reconnect" if self.unplaced else None, None, []
        self.active = True
        self.meta.standing = move.meta
        gap = "too many messages while moving" if move.overflowed else None
        if not lossless and self.unplaced:
            gap = "reconnect"
        held, move.held = move.held, []
        due = [e for e in held if is_presence(e) or not move.repeats(e, self.room)]
        if move.overflowed and self.place.position is not None and not self.place.reading:
            # Not every stored message was held: another SUB brings them.
            if self.table is not None:
                self.table.moved()
            return gap, None, due
        return gap, move.answer, due

    def push(self, message: Message) -> None:
        """Gives it to every loop."""
        for reader in tuple(self.readers):
            reader.buffer.push(message)

    def gap(self, reason: str) -> None:
        """Puts a GAP into every loop; changes of the room's state may be missing, too."""
        if self.repair is not None:
            self.repair.doubt()
        self.tell_gap(reason)

    def tell_gap(self, reason: str) -> None:
        """Puts a GAP into every loop."""
        self.push(gap_message(self.room, reason, int(time.time() * 1_000)))

    def tell_ready(self) -> None:
        """Tells the loops when the subscription stands, and the first page has come, if any."""
        finding = self.place.reading and self.place.position is None
        if not self.active or finding or (self.table is not None and not self.table.complete):
            return
        for reader in self.readers:
            if not reader.ready.done():
                reader.ready.set_result(None)

    def end(self, error: ArqonError | None) -> None:
        """Ends the loops: orderly without `error`, else by raising it there."""
        self.cancel_retries()
        if self.replay is not None and self.replay is not asyncio.current_task():
            self.replay.cancel()
        if self.repair is not None:
            self.repair.end()
        self.meta.end(error or ended())
        if self.table is not None:
            self.table.lost()
        readers, self.readers = self.readers, set()
        for reader in readers:
            if not reader.ready.done():
                reader.ready.set_exception(error.again() if error else ended())
                reader.ready.exception()  # Who waits gets it; nobody may.
            reader.buffer.end(error)

    def retry(self, session: object, delay_ms: float, send: Callable[[], None]) -> None:
        """Sends SUB again after this time."""
        self.cancel_retry(session)
        self.retries[session] = asyncio.get_running_loop().call_later(delay_ms / 1_000, send)

    def cancel_retry(self, session: object) -> None:
        """No SUB is sent again on its own on this session."""
        timer = self.retries.pop(session, None)
        if timer is not None:
            timer.cancel()

    def cancel_retries(self) -> None:
        """No SUB is sent again on its own."""
        for session in list(self.retries):
            self.cancel_retry(session)


def ended() -> ArqonError:
    """How a subscription ended that nobody can go on with."""
    return error_of("connection-closed", "the subscription has ended")


def encode_meta(meta: Any) -> bytes:
    """Metadata as JSON; None is none. Raises TypeError for what JSON cannot say."""
    return b"" if meta is None else json.dumps(meta, separators=(",", ":")).encode()


def is_presence(envelope: Envelope) -> bool:
    """An event with which the bus tells who is in a room."""
    from_bus = envelope.sender_id == "" and envelope.WhichOneof("payload") == "event"
    return from_bus and envelope.event.type in (UPDATE, LEAVE)
