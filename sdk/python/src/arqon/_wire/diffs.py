"""Applies diffs strictly: invalid ones are refused. Creates none: the Shield does.

Two forms: Fossil's (https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki), and VCDIFF (RFC
3284) in one window, with the default code table and no secondary compression.
"""

from __future__ import annotations

import re
from array import array
from sys import byteorder
from typing import Final

_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_NUMBER: Final = re.compile(rb"([0-9A-Za-z_~]+)([^0-9A-Za-z_~])")
_NUMBER_MAX: Final = 2**32


def _number(diff: bytes, at: int, ends: bytes) -> tuple[int, bytes, int] | None:
    """A number, the byte after it (one of `ends`), and the next position; None: invalid."""
    found = _NUMBER.match(diff, at)
    if found is None or found[2] not in ends:
        return None
    value = 0
    for digit in found[1]:
        value = value * 64 + _VALUES[digit]
        if value >= _NUMBER_MAX:
            return None
    return value, found[2], found.end()


def _checksum(data: bytearray) -> int:
    """The sum of the data as big-endian words of 32 bits."""
    words = array("I", data + bytes(-len(data) % 4))
    if byteorder == "little":
        words.byteswap()
    return sum(words) % _NUMBER_MAX


def apply_fossil(base: bytes, diff: bytes, bytes_max: int) -> bytes | None:
    """Applies a diff to `base`; None: it is invalid, or its output exceeds `bytes_max`."""
    head = _number(diff, 0, b"\n")
    if head is None or head[0] > bytes_max:
        return None
    size, _, at = head
    made = bytearray()
    while True:
        step = _number(diff, at, b"@:;")
        if step is None:
            return None
        value, end, at = step
        if end == b";":
            fits = len(made) == size and at == len(diff) and value == _checksum(made)
            return bytes(made) if fits else None
        if value > size - len(made):
            return None
        if end == b"@":
            place = _number(diff, at, b",")
            if place is None or place[0] + value > len(base):
                return None
            made += base[place[0] : place[0] + value]
            at = place[2]
        else:
            if value > len(diff) - at:
                return None
            made += diff[at : at + value]
            at += value


MAGIC: Final = b"\xd6\xc3\xc4"
"""The magic bytes of VCDIFF; no Fossil diff begins with them."""
_HEADER: Final = MAGIC + b"\x00\x00"
_SOURCE: Final = 1
_NEAR: Final = 4
_SAME: Final = 768


class _NoDiffError(Exception):
    """The diff is invalid; never leaves this file."""


class _Section:
    """A part of a diff, read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at == len(self._data)

    def byte(self) -> int:
        if self._at == len(self._data):
            raise _NoDiffError
        self._at += 1
        return self._data[self._at - 1]

    def number(self) -> int:
        value = 0
        while True:
            byte = self.byte()
            value = value * 128 + (byte & 0x7F)
            if value >= _NUMBER_MAX:
                raise _NoDiffError
            if byte < 0x80:
                return value

    def take(self, length: int) -> bytes:
        start, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise _NoDiffError
        return self._data[start : self._at]


class _Target:
    """The output of one window."""

    def __init__(self, source: bytes, length: int, data: _Section, places: _Section) -> None:
        self.made = bytearray()
        self._source = source
        self._length = length
        self._data = data
        self._places = places
        self._near = [0] * _NEAR
        self._same = [0] * _SAME
        self._next = 0

    @property
    def is_done(self) -> bool:
        """Whether the output is complete."""
        return len(self.made) == self._length and self._data.is_over and self._places.is_over

    def _check(self, length: int) -> None:
        if length > self._length - len(self.made):
            raise _NoDiffError

    def add(self, length: int) -> None:
        self._check(length)
        self.made += self._data.take(length)

    def run(self, length: int) -> None:
        self._check(length)
        self.made += bytes([self._data.byte()]) * length

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
            place = self._places.number()
        elif mode == 1:
            place = here - self._places.number()
        elif mode < 2 + _NEAR:
            place = self._near[mode - 2] + self._places.number()
        else:
            place = self._same[(mode - 2 - _NEAR) * 256 + self._places.byte()]
        if not 0 <= place < here:
            raise _NoDiffError
        self._near[self._next] = place
        self._next = (self._next + 1) % _NEAR
        self._same[place % _SAME] = place
        return place


def _run(target: _Target, instructions: _Section) -> None:
    """Runs one instruction of the default code table, which may be two."""
    code = instructions.byte()
    if code == 0:
        target.run(instructions.number())
    elif code < 19:
        target.add(code - 1 or instructions.number())
    elif code < 163:
        mode, size = divmod(code - 19, 16)
        target.copy(size + 3 if size else instructions.number(), mode)
    elif code < 235:
        mode, sizes = divmod(code - 163, 12)
        target.add(1 + sizes // 3)
        target.copy(4 + sizes % 3, mode)
    elif code < 247:
        target.add(1 + (code - 235) % 4)
        target.copy(4, 6 + (code - 235) // 4)
    else:
        target.copy(4, code - 247)
        target.add(1)


def _apply(base: bytes, diff: _Section, bytes_max: int) -> bytes:
    if diff.take(len(_HEADER)) != _HEADER:
        raise _NoDiffError
    indicator = diff.byte()
    if indicator > _SOURCE:
        raise _NoDiffError
    segment = b""
    if indicator == _SOURCE:
        length, source = diff.number(), _Section(base)
        source.take(diff.number())
        segment = source.take(length)
    window = _Section(diff.take(diff.number()))
    made = window.number()
    if not diff.is_over or made > bytes_max or window.byte() != 0:
        raise _NoDiffError
    added, instructions_bytes, named = window.number(), window.number(), window.number()
    data, instructions = _Section(window.take(added)), _Section(window.take(instructions_bytes))
    target = _Target(segment, made, data, _Section(window.take(named)))
    while not instructions.is_over:
        _run(target, instructions)
    if not target.is_done or not window.is_over:
        raise _NoDiffError
    return bytes(target.made)


def apply_vcdiff(base: bytes, diff: bytes, bytes_max: int) -> bytes | None:
    """Applies a diff to `base`; None: it is invalid, or its output exceeds `bytes_max`."""
    try:
        return _apply(base, _Section(diff), bytes_max)
    except _NoDiffError:
        return None
