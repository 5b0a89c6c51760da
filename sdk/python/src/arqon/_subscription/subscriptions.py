"""The rooms that this client receives: one SUB a room for all its loops.

The SUB is sent again after each reconnect, and on both sessions during a move. `_driver.py`
reconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from arqon._clock import backoff_delay_ms
from arqon._gen import Envelope, Unsubscribe
from arqon._session.deltas import LOST_DELTA
from arqon._session.session import Answer, Session
from arqon._subscription.buffer import MessageBuffer, ended
from arqon._subscription.room_entry import (
    Accepted,
    Meta,
    Move,
    RoomEntry,
    SubscribeOptions,
    is_presence,
)
from arqon._tasks import resolve
from arqon._wire.frames import SUB, UNSUB, frame_of, malformed, sub_answer_of
from arqon.errors import ArqonError
from arqon.message import gap_message, message_of

if TYPE_CHECKING:
    from arqon._driver import Driver


class Subscriptions:
    """All rooms of one connection; `begin`, `cross` and `settle` move to the next session."""

    def __init__(self, bus: Driver) -> None:
        self._bus = bus
        self._rooms: dict[str, RoomEntry] = {}
        self._patterns: list[RoomEntry] = []
        """The patterns: ids that end in `*`."""
        self._session: Session | None = None
        self._next: Session | None = None
        self._moved: asyncio.Future[bool] | None = None

    def subscribe(self, room: str, options: SubscribeOptions) -> tuple[RoomEntry, MessageBuffer]:
        """Adds a loop. Raises ValueError for options that conflict with another loop's."""
        known = self._rooms.get(room)
        if known is not None:
            known.agree(options)
        entry = known or RoomEntry(room, options)
        size, size_bytes, overflow = options.buffer, options.buffer_bytes, options.on_overflow
        buffer = MessageBuffer(room, size, size_bytes, overflow, lambda: self.leave(entry, buffer))
        entry.buffers.add(buffer)
        if known is None:
            self._rooms[room] = entry
            if room.endswith("*"):
                self._patterns.append(entry)
            if self._session is not None:
                self._send(entry, self._session, 0)
            if self._next is not None:
                self._move(entry, self._next)
        entry.tell_ready()
        return entry, buffer

    def leave(self, entry: RoomEntry, buffer: MessageBuffer) -> None:
        """Removes an ended loop; after the last one of a room, ends the subscription."""
        if buffer not in entry.buffers:
            return
        entry.buffers.discard(buffer)
        buffer.end(None)
        if not entry.buffers:
            self.refuse(entry, None)

    def attach(self, session: Session) -> None:
        """Subscribes to every room again, with a GAP where messages may be missing."""
        self._session = session
        for entry in list(self._rooms.values()):
            if entry.unplaced:
                entry.gap("reconnect")
            self._send(entry, session, 0)

    def detach(self) -> None:
        """Records that there is no session."""
        self._session = self._next = None
        for entry in self._rooms.values():
            entry.active = False
            entry.move = None
            entry.cancel_retries()
            if entry.table is not None:
                entry.table.lost()

    def begin(self, following: Session) -> asyncio.Future[bool]:
        """Subscribes on the next session, too; done when all SUBs are answered. `cross` or
        `abandon` must follow."""
        self._next = following
        self._moved = asyncio.get_running_loop().create_future()
        for entry in list(self._rooms.values()):
            self._move(entry, following)
        moved = self._moved
        self._tell_moved()
        return moved

    def abandon(self) -> None:
        """Abandons the next session: everything is as before `begin`."""
        left, self._next = self._next, None
        for entry in self._rooms.values():
            entry.move = None
            entry.cancel_retry(left)

    def cross(self, lossless: bool) -> None:
        """Makes the next session the present one. `lossless`: the old one has delivered all."""
        following, self._next = self._next, None
        self._session = following
        for entry in list(self._rooms.values()):
            gap, accepted, held = entry.cross(lossless)
            if gap is not None:
                entry.gap(gap)
            if accepted is not None:
                self._accepted(entry, accepted)
            for envelope in held:
                self._hear(entry, envelope, at_once=False)
            self.complete(entry)

    def settle(self) -> None:
        """Ends the overlap: the present session has delivered all that the old one did."""
        if self._next is None:
            for entry in self._rooms.values():
                entry.move = None

    def deliver(self, envelope: Envelope, session: Session, at_once: bool = True) -> bool:
        """Delivers a message. False: no space; await `space`, then deliver without `at_once`."""
        entry = self._rooms.get(envelope.room_id)
        if not self._patterns:
            return entry is None or self._offer(entry, envelope, session, at_once)
        entries = self._hearers(envelope.room_id)
        size_bytes = len(envelope.event.data)
        if at_once and any(entry.blocked(size_bytes) for entry in entries):
            return False
        for entry in entries:
            self._offer(entry, envelope, session, at_once=False)
        return True

    def _hearers(self, room: str) -> list[RoomEntry]:
        """The room's own entry, and the entries of matching patterns."""
        own = self._rooms.get(room)
        # What is beside a room is heard by its name only.
        if room.endswith(("~growing", "~members", "~values")):
            return [] if own is None else [own]
        matching = [
            entry
            for entry in self._patterns
            if entry is not own and room.startswith(entry.room[:-1])
        ]
        return matching if own is None else [own, *matching]

    def _offer(self, entry: RoomEntry, envelope: Envelope, session: Session, at_once: bool) -> bool:
        move = entry.move
        if session is self._next:
            # Messages before the ACK arrive on the old session, too, or are in the history.
            left_out = envelope.offset and entry.place.reading
            if move is not None and move.accepted is not None and not left_out:
                move.hold(envelope)
            return True
        if session is not self._session or (envelope.offset and not entry.place.follows(session)):
            return True
        if move is not None and not is_presence(envelope):
            if self._next is not None:
                move.hear_old(envelope)
            elif move.repeats(envelope, entry.room):
                return True
        return self._hear(entry, envelope, at_once)

    async def space(self, envelope: Envelope) -> None:
        """Returns when the room's loops have space for it, or after a timeout."""
        for entry in self._hearers(envelope.room_id):
            await entry.space(len(envelope.event.data))

    def published(self, room: str, offset: int) -> None:
        """Records the offset of this client's publish; 0 if the room is not durable."""
        entry = self._rooms.get(room)
        if entry is not None:
            entry.place.published(offset)

    def revoked(self, room: str, error: ArqonError, only_presence: bool) -> None:
        """Handles the end of a subscription, or of its presence, because a new token lacks the
        grant."""
        entry = self._rooms.get(room)
        if entry is None or (only_presence and entry.table is None):
            return
        self._fail(entry, error, unsubscribe=only_presence)

    async def update_meta(self, entry: RoomEntry, member_meta: Any) -> None:
        """Changes this member's metadata; returns when a Shield has accepted it."""
        if self._rooms.get(entry.room) is not entry:
            raise ended()
        update = entry.new_meta(member_meta)
        if entry.active and self._session is not None:
            self._send(entry, self._session, 0)
        await update

    def close(self, error: ArqonError | None) -> None:
        """Ends all loops: orderly without `error`, else by raising it there."""
        self.detach()
        for entry in list(self._rooms.values()):
            self._fail(entry, error)

    def _hear(self, entry: RoomEntry, envelope: Envelope, at_once: bool) -> bool:
        if entry.table is not None and is_presence(envelope):
            event = envelope.event
            self._or_fail(entry, lambda table: table.hear(event.type, event.data))
            return True
        offset, place, session = envelope.offset, entry.place, self._session
        if offset and not place.follows(session):
            return True
        ordered = self._bus.options.proof is not None
        message = message_of(envelope, place.epoch if offset else "", ordered)
        signal = message.signal
        if signal is not None and signal.reason == LOST_DELTA and entry.options.delta:
            if not entry.active:
                # A late message for an ended loop.
                return True
            # It requests whole messages.
            self._send_once(entry)
        if at_once and entry.blocked(len(message.raw)):
            return False
        # A pattern has neither a state nor a position: each room has its own.
        own = envelope.room_id == entry.room
        from_bus = own and not message.sender
        if from_bus and entry.repair is not None and entry.repair.hear(message):
            return True
        ours = signal if signal is not None and not message.sender and not offset else None
        gap = ours is not None and ours.kind == "GAP"
        if ours is not None and gap and not place.gap(session, ours.reason):
            return True
        if own and offset and not place.deliver(offset):
            return True
        entry.push(message)
        if entry.positions is not None:
            entry.positions.note(message)
        if gap:
            self.complete(entry)
        if ours is not None and ours.kind in ("DISCONNECT", "BAN") and ours.target == entry.room:
            self._fail(entry, None)
        return True

    def _send_once(self, entry: RoomEntry) -> None:
        """Sends a SUB on the present session, unless one is under way."""
        session = self._session
        if session is not None and session not in entry.asking and session not in entry.retries:
            self._send(entry, session, 0)

    def refuse(self, entry: RoomEntry, error: ArqonError | None) -> None:
        """Ends a room's subscription and its loops: normally without `error`."""
        if self._rooms.get(entry.room) is entry:
            self._fail(entry, error, unsubscribe=True)

    def _move(self, entry: RoomEntry, following: Session) -> None:
        entry.move = Move()
        self._send(entry, following, 0)

    def _tell_moved(self) -> None:
        moves = [entry.move for entry in self._rooms.values()]
        if any(move is not None and move.accepted is None for move in moves):
            return
        if self._moved is not None:
            resolve(self._moved, True)

    def _send(self, entry: RoomEntry, session: Session, attempt: int) -> None:
        """Sends a SUB with the newest metadata, and the position if there is one."""
        request_id = self._bus.next_id()
        is_next = session is self._next
        carried = entry.meta.carry(is_next)
        asked = entry.place.asked(session)
        positions, count = b"", 0
        if entry.positions is not None:
            stands, frame_bytes = entry.place.follows(session), session.welcome.max_frame_bytes
            positions, count = entry.positions.asked(stands, self._rooms, frame_bytes)
        entry.asking.append(session)
        if entry.options.delta:
            session.deltas.begin(entry.room)

        def answered(answer: Answer) -> None:
            entry.asking.remove(session)
            refusal = answer if isinstance(answer, ArqonError) else None
            if self._rooms.get(entry.room) is not entry:
                return
            if session not in (self._session, self._next):
                entry.meta.answered_late(carried, refusal)
            elif isinstance(answer, ArqonError):
                if entry.positions is not None and answer.reason == "too-many-rooms" and count:
                    entry.positions.refused(count)
                    self._send(entry, session, attempt)
                else:
                    self._refused(entry, session, answer, carried, attempt)
                return
            elif session is self._next:
                if entry.move is not None:
                    entry.move.accepted = Accepted(asked, carried, answer)
                self._tell_moved()
            else:
                entry.accept(carried)
                self._accepted(entry, Accepted(asked, carried, answer))
            self.complete(entry)

        subscribe = entry.sub(request_id, asked, carried.data, positions)
        session.ask(request_id, frame_of(SUB, subscribe), answered)

    def _refused(
        self,
        entry: RoomEntry,
        session: Session,
        error: ArqonError,
        carried: Meta,
        attempt: int,
    ) -> None:
        """Handles a refused or lost SUB: the subscription stays, is requested again, or ends."""
        place, meta, is_next = entry.place, entry.meta, session is self._next
        if error.reason == "connection-lost":
            meta.keep(carried)
            return
        # Messages of the room already arrive on this session, and count.
        stands = entry.active and not is_next if place.reading else place.follows(session)
        options = self._bus.options
        delay_ms = error.retry_after_ms + backoff_delay_ms(attempt, options.backoff, options.random)
        if error.reason == "not-durable" and place.position is not None:
            # The room is no longer durable: it continues as any other.
            if not stands:
                entry.gap("reconnect")
            place.forget()
            meta.keep(carried)
            delay_ms = 0
        elif error.retryable and not stands:
            meta.keep(carried)
        else:
            # With the previously accepted metadata the same SUB may be accepted.
            again = error.retryable or meta.is_new(carried)
            meta.refuse(carried, error)
            if not stands and not again:
                self._fail(entry, error, unsubscribe=entry.active)
                return
            # The subscription is unchanged: only the new metadata, or the position, was refused.
            # This Shield still needs the metadata that another Shield accepted.
            if stands and not (entry.lacking(session) and (again or meta.waits)):
                return
        entry.retry(session, delay_ms, lambda: self._resend(entry, session, attempt + 1))

    def _resend(self, entry: RoomEntry, session: Session, attempt: int) -> None:
        entry.cancel_retry(session)
        # Another SUB may have delivered everything meanwhile.
        due = entry.lacking(session) or not entry.active or session is self._next
        known = self._rooms.get(entry.room) is entry
        if known and due and session in (self._session, self._next):
            self._send(entry, session, attempt)

    def complete(self, entry: RoomEntry) -> None:
        """Sends the missing position or metadata to the Shield, unless a SUB is under way."""
        if entry.active and self._rooms.get(entry.room) is entry and entry.lacking(self._session):
            self._send_once(entry)

    def _accepted(self, entry: RoomEntry, sub: Accepted) -> None:
        entry.received = True
        try:
            answer = sub_answer_of(sub.ack)
            if entry.positions is not None:
                for room, reason in entry.positions.answered(answer):
                    entry.push(gap_message(room, reason))
                answer = {}
            missing = entry.place.accepted(self._session, sub.asked, sub.ack.offset, answer)
        except ArqonError as error:
            self.refuse(entry, error)
            return
        if missing is not None:
            entry.gap(missing)
        self._or_fail(entry, lambda table: table.begin(answer, self._session))
        entry.tell_ready()

    def _or_fail(self, entry: RoomEntry, change: Callable[[Any], None]) -> None:
        """Ends the subscription after an unreadable event, because its list would be wrong."""
        if entry.table is None:
            return
        try:
            change(entry.table)
        except (ArqonError, DecodeError, ValueError) as error:
            self.refuse(entry, error if isinstance(error, ArqonError) else malformed(str(error)))
            return
        entry.tell_ready()

    def _fail(
        self, entry: RoomEntry, error: ArqonError | None, *, unsubscribe: bool = False
    ) -> None:
        """Ends the loops. `unsubscribe`: the Shields still have the subscription."""
        self._rooms.pop(entry.room, None)
        for session in (self._session, self._next):
            if session is None:
                continue
            if unsubscribe:
                request = Unsubscribe(room_id=entry.room, request_id=self._bus.next_id())
                session.ask(request.request_id, frame_of(UNSUB, request), lambda _: None)
            session.deltas.end(entry.room)
        if entry in self._patterns:
            self._patterns.remove(entry)
        entry.end(error)
        self._tell_moved()
