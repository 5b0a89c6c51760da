"""Restores whole messages from the diffs of one session."""

from __future__ import annotations

import zlib
from typing import Final

from arqon._gen import Delta, Envelope, SystemSignal
from arqon._wire.diffs import MAGIC, apply_fossil, apply_vcdiff

LOST_DELTA: Final = "delta"
"""The reason of the GAP that replaces a message that cannot be restored."""
KEPT_BYTES: Final = 16_777_216
"""The bytes of recent data kept for all rooms; the Shield knows this limit, and counts alike."""
# The largest output of a diff: no Shield sends a larger message.
_DATA_BYTES_MAX: Final = 16_777_216
# No room has more slots.
_SLOTS_MAX: Final = 4_096
# Overhead of stored data besides its bytes.
_DATA_BYTES: Final = 256


class DeltaBases:
    """The base data for diffs, of the rooms that are subscribed with deltas."""

    def __init__(self, bytes_max: int = KEPT_BYTES) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._rooms: set[str] = set()
        self._prefixes: set[str] = set()
        # The oldest are first.
        self._bases: dict[tuple[str, int], tuple[int, bytes]] = {}

    def begin(self, room: str) -> None:
        """Records a SUB with `delta`. Stored data stays: diffs from it may be under way."""
        if room.endswith("*"):
            self._prefixes.add(room[:-1])
        else:
            self._rooms.add(room)

    def end(self, room: str) -> None:
        """Records that the room is no longer subscribed."""
        if room.endswith("*"):
            self._prefixes.discard(room[:-1])
        else:
            self._rooms.discard(room)
        for key in [key for key in self._bases if not self._hears(key[0])]:
            self._drop(key)

    def unfold(self, envelope: Envelope) -> None:
        """Replaces a message's delta by its whole data, or its payload by a GAP."""
        if not envelope.HasField("delta"):
            return
        delta, key = envelope.delta, (envelope.room_id, envelope.delta.slot)
        if not envelope.HasField("event"):
            envelope.ClearField("delta")
            return
        hears, data = self._hears(envelope.room_id), envelope.event.data
        if delta.base == 0:
            # Messages after an UNSUB are passed on but not stored.
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
