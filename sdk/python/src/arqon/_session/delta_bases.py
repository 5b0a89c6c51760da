"""Whole messages of those that a Shield sent as diffs, on one session.

It asks for nothing: who sends SUB does.
"""

from __future__ import annotations

from typing import Final

from arqon._gen.envelope_pb2 import Envelope, SystemSignal
from arqon._wire.fossil import apply_fossil

LOST_DELTA: Final = "delta"
"""The reason of the GAP in place of a message that cannot be made."""
# The most bytes that a diff may make: no Shield sends a larger message.
_DATA_BYTES_MAX: Final = 16_777_216
# No room has more slots.
_SLOTS_MAX: Final = 4_096


class DeltaBases:
    """The data that diffs are from, of the rooms that were asked for with deltas."""

    def __init__(self) -> None:
        """Of a new session: without any."""
        self._rooms: dict[str, dict[int, tuple[int, bytes]]] = {}

    def begin(self, room: str) -> None:
        """A SUB with `delta` is sent. What is kept stays: diffs from it may be on their way."""
        self._rooms.setdefault(room, {})

    def end(self, room: str) -> None:
        """The room is not heard any more."""
        self._rooms.pop(room, None)

    def unfold(self, envelope: Envelope) -> None:
        """Puts the whole data into a message that has a delta, or a GAP in place of its payload."""
        if not envelope.HasField("delta"):
            return
        delta = envelope.delta
        slot, number, base = delta.slot, delta.number, delta.base
        envelope.ClearField("delta")
        if not envelope.HasField("event"):
            return
        slots, data = self._rooms.get(envelope.room_id), envelope.event.data
        if base == 0:
            # What came after an UNSUB is whole, too, but nothing is kept of it.
            if slots is not None and slot < _SLOTS_MAX:
                slots[slot] = number, data
            return
        held_number, held = (0, b"") if slots is None else slots.pop(slot, (0, b""))
        whole = apply_fossil(held, data, _DATA_BYTES_MAX) if held_number == base else None
        if slots is not None and whole is not None:
            slots[slot] = number, whole
            envelope.event.data = whole
            return
        signal = envelope.signal
        signal.kind = SystemSignal.KIND_GAP
        signal.target = envelope.room_id
        signal.reason = LOST_DELTA
