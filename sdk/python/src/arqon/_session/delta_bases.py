"""Whole messages of those that a Shield sent as diffs, on one session."""

from __future__ import annotations

import zlib
from typing import Final

from arqon._gen import Delta, Envelope, SystemSignal
from arqon._wire.diffs import MAGIC, apply_fossil, apply_vcdiff

LOST_DELTA: Final = "delta"
"""The reason of the GAP in place of a message that cannot be made."""
KEPT_BYTES: Final = 16_777_216
"""What is kept of all rooms: that which came last. The Shield knows, and counts alike."""
# The most bytes that a diff may make: no Shield sends a larger message.
_DATA_BYTES_MAX: Final = 16_777_216
# No room has more slots.
_SLOTS_MAX: Final = 4_096
# What data takes beside its bytes.
_DATA_BYTES: Final = 256


class DeltaBases:
    """The data that diffs are from, of the rooms that were asked for with deltas."""

    def __init__(self, bytes_max: int = KEPT_BYTES) -> None:
        """Of a new session: without any."""
        self._bytes_max = bytes_max
        self._bytes = 0
        self._rooms: set[str] = set()
        self._prefixes: set[str] = set()
        # Those that came first are in front.
        self._bases: dict[tuple[str, int], tuple[int, bytes]] = {}

    def begin(self, room: str) -> None:
        """A SUB with `delta` is sent. What is kept stays: diffs from it may be on their way."""
        if room.endswith("*"):
            self._prefixes.add(room[:-1])
        else:
            self._rooms.add(room)

    def end(self, room: str) -> None:
        """The room is not heard any longer."""
        if room.endswith("*"):
            self._prefixes.discard(room[:-1])
        else:
            self._rooms.discard(room)
        for key in [key for key in self._bases if not self._hears(key[0])]:
            self._drop(key)

    def unfold(self, envelope: Envelope) -> None:
        """Puts the whole data into a message that has a delta, or a GAP in place of its payload."""
        if not envelope.HasField("delta"):
            return
        delta, key = envelope.delta, (envelope.room_id, envelope.delta.slot)
        if not envelope.HasField("event"):
            envelope.ClearField("delta")
            return
        hears, data = self._hears(envelope.room_id), envelope.event.data
        if delta.base == 0:
            # What came after an UNSUB is whole, too, but nothing is kept of it.
            if hears and delta.slot < _SLOTS_MAX:
                self._keep(key, delta.number, data)
            envelope.ClearField("delta")
            return
        number, held = self._drop(key)
        whole = _applied(held, data, delta) if hears and number == delta.base else None
        if whole is not None:
            self._keep(key, delta.number, whole)
            envelope.ClearField("delta")
            envelope.event.data = whole
            return
        envelope.ClearField("delta")
        signal = envelope.signal
        signal.kind = SystemSignal.KIND_GAP
        signal.target = envelope.room_id
        signal.reason = LOST_DELTA

    def _hears(self, room: str) -> bool:
        return room in self._rooms or any(map(room.startswith, self._prefixes))

    def _keep(self, key: tuple[str, int], number: int, data: bytes) -> None:
        self._drop(key)
        self._bases[key] = number, data
        self._bytes += len(data) + _DATA_BYTES
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._bases)))

    def _drop(self, key: tuple[str, int]) -> tuple[int, bytes]:
        base = self._bases.pop(key, None)
        if base is None:
            return 0, b""
        self._bytes -= len(base[1]) + _DATA_BYTES
        return base


def _applied(base: bytes, diff: bytes, delta: Delta) -> bytes | None:
    if not diff.startswith(MAGIC):
        return apply_fossil(base, diff, _DATA_BYTES_MAX)
    whole = apply_vcdiff(base, diff, _DATA_BYTES_MAX)
    return whole if whole is not None and zlib.adler32(whole) == delta.checksum else None
