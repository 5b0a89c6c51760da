"""Merkle trees of RFC 6962, in the tiles of c2sp.org/tlog-tiles. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import sha256
from itertools import count
from typing import Final, TypeAlias

WIDTH: Final = 256
"""The number of hashes in a full tile, and of entries in a full bundle."""
# Binary levels in one tile.
_LEVELS: Final = 8
_HASH_BYTES: Final = 32
# The most tiles that a reader of a tree caches.
_TILES_KNOWN: Final = 128

# Reads a tile, or with the level "entries" a bundle, by its level and index.
TileReader: TypeAlias = Callable[["int | str", int], Awaitable[bytes]]


def _leaf(entry: bytes) -> bytes:
    return sha256(b"\0" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _perfect(hashes: Sequence[bytes]) -> bytes:
    """The root of these hashes; their number is a power of two."""
    while len(hashes) > 1:
        hashes = [_node(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def _split(data: bytes) -> list[bytes]:
    return [data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES)]


def width_of(size: int, level: int | str, index: int) -> int:
    """The width of a tile in a tree of that size."""
    hashes = size >> _LEVELS * level if isinstance(level, int) else size
    return min(WIDTH, hashes - index * WIDTH)


def tile_path(size: int, level: int | str, index: int) -> str:
    """The path below the tree's prefix, with the width for this size: `tile/0/x001/x234/067.p/8`.

    >>> tile_path(1_234_067 * 256 + 8, 0, 1_234_067), tile_path(300, "entries", 0)
    ('tile/0/x001/x234/067.p/8', 'tile/entries/000')
    """
    digits = str(index).zfill(-(-len(str(index)) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])
    width = width_of(size, level, index)
    return f"tile/{level}/{name}" + ("" if width == WIDTH else f".p/{width}")


def bundle_of(data: bytes) -> list[bytes] | None:
    """The entries of a bundle; None if it is truncated."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            return None
        entries.append(data[at + 2 : end])
        at = end
    return entries


class Edge:
    """The right edge of a tree: the partial tile of each level."""

    def __init__(self, size: int, tiles: Iterable[Sequence[bytes]] = ()) -> None:
        """`tiles`: from the lowest level up."""
        self.size = size
        self._tiles = [list(tile) for tile in tiles]

    @classmethod
    async def load(cls, size: int, read: TileReader) -> Edge:
        """The edge of a tree of this size; `read` returns its partial tiles, or wider ones."""
        tiles: list[list[bytes]] = []
        hashes = size
        while hashes > 0:
            index, width = divmod(hashes, WIDTH)
            data = b"" if width == 0 else await read(len(tiles), index)
            if len(data) < width * _HASH_BYTES:
                raise ValueError(f"a tile of level {len(tiles)} has {len(data)} bytes")
            tiles.append(_split(data[: width * _HASH_BYTES]))
            hashes = index
        return cls(size, tiles)

    def copy(self) -> Edge:
        return Edge(self.size, self._tiles)

    def append(self, entries: Iterable[bytes]) -> None:
        for entry in entries:
            self.size += 1
            value = _leaf(entry)
            for level in count():
                if level == len(self._tiles):
                    self._tiles.append([])
                tile = self._tiles[level]
                tile.append(value)
                if len(tile) < WIDTH:
                    break
                value = _perfect(tile)
                tile.clear()

    def root(self) -> bytes:
        root: bytes | None = None
        for tile in self._tiles:
            end, span = len(tile), 1
            while end > 0:
                if end & span:
                    subtree = _perfect(tile[end - span : end])
                    root = subtree if root is None else _node(subtree, root)
                    end -= span
                span *= 2
        return sha256(b"").digest() if root is None else root


class Past:
    """Computes roots of a tree from its tiles."""

    def __init__(self, size: int, read: TileReader) -> None:
        """`read` returns each tile with its width in a tree of this size."""
        self._size = size
        self._read = read
        self._known: dict[tuple[int, int], list[bytes]] = {}

    async def roots(self, old: int) -> tuple[bytes, bytes]:
        """The root of the first `old` entries, at least one, and the root of all."""
        return await self._roots(old, 0, self._size)

    async def _roots(self, old: int, start: int, end: int) -> tuple[bytes, bytes]:
        if old == end:
            root = await self._range(start, end)
            return root, root
        split = start + (1 << (end - start - 1).bit_length() - 1)
        if old <= split:
            before, left = await self._roots(old, start, split)
            return before, _node(left, await self._range(split, end))
        left = await self._range(start, split)
        before, right = await self._roots(old, split, end)
        return _node(left, before), _node(left, right)

    async def _range(self, start: int, end: int) -> bytes:
        size = end - start
        level = size.bit_length() - 1
        if size != 1 << level:
            split = start + (1 << level)
            return _node(await self._range(start, split), await self._range(split, end))
        span = 1 << level % _LEVELS
        index, first = divmod(start // size * span, WIDTH)
        return _perfect((await self._tile(level // _LEVELS, index))[first : first + span])

    async def _tile(self, level: int, index: int) -> list[bytes]:
        hashes = self._known.pop((level, index), None)
        if hashes is None:
            data = await self._read(level, index)
            if len(data) != width_of(self._size, level, index) * _HASH_BYTES:
                raise ValueError(f"{tile_path(self._size, level, index)} has {len(data)} bytes")
            hashes = _split(data)
        self._known[level, index] = hashes
        if len(self._known) > _TILES_KNOWN:
            del self._known[next(iter(self._known))]
        return hashes
