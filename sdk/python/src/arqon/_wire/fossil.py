"""Applies a diff of the Fossil format, strictly: what does not fit altogether is refused.

Makes no diffs: the Shield does. The format:
https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki
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
    """A number, the byte behind it, one of `ends`, and where it goes on; None: no such number."""
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
    """The data that a diff makes of `base`.

    None when it is no diff, none from `base`, or makes more than `bytes_max`.
    """
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
