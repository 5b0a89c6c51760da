"""Restores whole messages from the diffs of one session. Invalid diffs are refused.

Two forms: Fossil's (https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki), and VCDIFF (RFC
3284) in one window, with the default code table and no secondary compression.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from sys import byteorder
from typing import Final

from arqon._gen import Delta, Envelope, SystemSignal

_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_NUMBER: Final = re.compile(rb"([0-9A-Za-z_~]+)([^0-9A-Za-z_~])")
_NUMBER_MAX: Final = 2**32


class _NoDiffError(Exception):
    """The diff is invalid; never leaves this file."""


def _strict(apply: Callable[[bytes, bytes, int], bytes]) -> Callable[..., bytes | None]:
    @wraps(apply)
    def applied(base: bytes, diff: bytes, bytes_max: int) -> bytes | None:
        try:
            return apply(base, diff, bytes_max)
        except _NoDiffError:
            return None

    return applied


def _number(diff: bytes, at: int, ends: bytes) -> tuple[int, bytes, int]:
    """A number, the byte after it (one of `ends`), and the next position."""
    found = _NUMBER.match(diff, at)
    if found is None or found[2] not in ends:
        raise _NoDiffError
    value = 0
    for digit in found[1]:
        value = value * 64 + _VALUES[digit]
        if value >= _NUMBER_MAX:
            raise _NoDiffError
    return value, found[2], found.end()


def _checksum(data: bytearray) -> int:
    """The sum of the data as big-endian words of 32 bits."""
    words = array("I", data + bytes(-len(data) % 4))
    if byteorder == "little":
        words.byteswap()
    return sum(words) % _NUMBER_MAX


@_strict
def apply_fossil(base: bytes, diff: bytes, bytes_max: int) -> bytes:
    """Applies a diff to `base`; None: it is invalid, or its output exceeds `bytes_max`."""
    size, _, at = _number(diff, 0, b"\n")
    if size > bytes_max:
        raise _NoDiffError
    made = bytearray()
    while True:
        value, end, at = _number(diff, at, b"@:;")
        if end == b";":
            if len(made) != size or at != len(diff) or value != _checksum(made):
                raise _NoDiffError
            return bytes(made)
        source, start = diff, at
        if end == b"@":
            start, _, at = _number(diff, at, b",")
            source = base
        else:
            at += value
        if value > size - len(made) or start + value > len(source):
            raise _NoDiffError
        made += source[start : start + value]


MAGIC: Final = b"\xd6\xc3\xc4"
"""The magic bytes of VCDIFF; no Fossil diff begins with them."""
_HEADER: Final = MAGIC + b"\x00\x00"
_SOURCE: Final = 1
_NEAR: Final = 4
_SAME: Final = 768


def _take(data: BytesIO, length: int) -> bytes:
    part = data.read(length)
    if len(part) < length:
        raise _NoDiffError
    return part


def _varint(data: BytesIO) -> int:
    value, byte = 0, 0x80
    while byte >= 0x80:
        byte = _take(data, 1)[0]
        value = value * 128 + (byte & 0x7F)
        if value >= _NUMBER_MAX:
            raise _NoDiffError
    return value


class _Target:
    """The output of one window."""

    def __init__(self, source: bytes, length: int, data: BytesIO, places: BytesIO) -> None:
        self.made = bytearray()
        self._source = source
        self._length = length
        self._data = data
        self._places = places
        self._near = [0] * _NEAR
        self._same = [0] * _SAME
        self._next = 0

    def _check(self, length: int) -> None:
        if length > self._length - len(self.made):
            raise _NoDiffError

    def add(self, length: int) -> None:
        self._check(length)
        self.made += _take(self._data, length)

    def run(self, length: int) -> None:
        self._check(length)
        self.made += _take(self._data, 1) * length

    def copy(self, length: int, mode: int) -> None:
        self._check(length)
        start = self._place(mode)
        if start < len(self._source):
            part = self._source[start : start + length]
            self.made += part
            length -= len(part)
            start = len(self._source)
        # The source may overlap the output of this copy.
        start -= len(self._source)
        while length > 0:
            part = bytes(self.made[start : start + length])
            if not part:
                raise _NoDiffError
            self.made += part
            length -= len(part)
            start += len(part)

    def _place(self, mode: int) -> int:
        here = len(self._source) + len(self.made)
        if mode == 0:
            place = _varint(self._places)
        elif mode == 1:
            place = here - _varint(self._places)
        elif mode < 2 + _NEAR:
            place = self._near[mode - 2] + _varint(self._places)
        else:
            place = self._same[(mode - 2 - _NEAR) * 256 + _take(self._places, 1)[0]]
        if not 0 <= place < here:
            raise _NoDiffError
        self._near[self._next] = place
        self._next = (self._next + 1) % _NEAR
        self._same[place % _SAME] = place
        return place


def _run(target: _Target, code: int, sizes: BytesIO) -> None:
    """Runs one instruction of the default code table, which may be two."""
    if code == 0:
        target.run(_varint(sizes))
    elif code < 19:
        target.add(code - 1 or _varint(sizes))
    elif code < 163:
        mode, size = divmod(code - 19, 16)
        target.copy(size + 3 if size else _varint(sizes), mode)
    elif code < 235:
        mode, both = divmod(code - 163, 12)
        target.add(1 + both // 3)
        target.copy(4 + both % 3, mode)
    elif code < 247:
        target.add(1 + (code - 235) % 4)
        target.copy(4, 6 + (code - 235) // 4)
    else:
        target.copy(4, code - 247)
        target.add(1)


@_strict
def apply_vcdiff(base: bytes, diff_bytes: bytes, bytes_max: int) -> bytes:
    """Applies a diff to `base`; None: it is invalid, or its output exceeds `bytes_max`."""
    diff = BytesIO(diff_bytes)
    if _take(diff, len(_HEADER)) != _HEADER:
        raise _NoDiffError
    indicator, segment = _take(diff, 1)[0], b""
    if indicator > _SOURCE:
        raise _NoDiffError
    if indicator == _SOURCE:
        length, source = _varint(diff), BytesIO(base)
        _take(source, _varint(diff))
        segment = _take(source, length)
    window = BytesIO(_take(diff, _varint(diff)))
    made = _varint(window)
    if diff.read(1) or made > bytes_max or _take(window, 1) != b"\0":
        raise _NoDiffError
    sizes = _varint(window), _varint(window), _varint(window)
    data, instructions, places = (BytesIO(_take(window, size)) for size in sizes)
    target = _Target(segment, made, data, places)
    while code := instructions.read(1):
        _run(target, code[0], instructions)
    if len(target.made) != made or data.read(1) or places.read(1) or window.read(1):
        raise _NoDiffError
    return bytes(target.made)


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
