"""Merkle trees of RFC 6962, in the tiles of c2sp.org/tlog-tiles. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from arqon._proof.notes import Checkpoint

WIDTH: Final = 256
"""The number of hashes in a full tile, and of entries in a full bundle."""
# Binary levels in one tile.
_LEVELS: Final = 8
_HASH_BYTES: Final = 32
# The most tiles that a reader of a tree caches.
_TILES_KNOWN: Final = 128

# Reads a tile, or with the level "entries" a bundle, by its level and index.
TileReader: TypeAlias = Callable[["int | str", int], Awaitable[bytes]]


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _perfect(hashes: Sequence[bytes]) -> bytes:
    """The root of these hashes; their number is a power of two."""
    while len(hashes) > 1:
        hashes = [_node(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


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


class DamagedError(Exception):
    """The files of a log do not make its signed tree."""

    def __init__(self, head: Checkpoint) -> None:
        super().__init__()
        self.head = head


class Tree:
    """The signed tree of a log, read from its files: each of them is compared with the root.

    The partial tiles of the right edge make the root; the hash of a full tile is in the one above.
    """

    def __init__(self, head: Checkpoint, read: TileReader, edge: list[list[bytes]]) -> None:
        """Use `load`."""
        self.head = head
        self._read = read
        self._edge = edge
        self._known: dict[tuple[int, int], list[bytes]] = {}

    @classmethod
    async def load(cls, head: Checkpoint, read: TileReader) -> Tree:
        """Reads the edge. `read` returns each tile with its width in this tree."""
        tree = cls(head, read, [])
        while hashes := head.size >> _LEVELS * len(tree._edge):
            index, width = divmod(hashes, WIDTH)
            tree._edge.append(await tree._split(len(tree._edge), index) if width else [])
        tree._require(_root(tree._edge), head.root)
        return tree

    async def root(self, size: int) -> bytes:
        """The root of the first `size` entries."""
        tiles: list[list[bytes]] = []
        while hashes := size >> _LEVELS * len(tiles):
            index, width = divmod(hashes, WIDTH)
            tiles.append((await self._tile(len(tiles), index))[:width] if width else [])
        return _root(tiles)

    async def entries(self, index: int) -> list[bytes]:
        """The entries of a bundle."""
        entries = bundle_of(await self._read("entries", index)) or []
        if len(entries) != width_of(self.head.size, "entries", index):
            raise DamagedError(self.head)
        await self._check(0, index, [sha256(b"\0" + entry).digest() for entry in entries])
        return entries

    async def _tile(self, level: int, index: int) -> list[bytes]:
        if index == self.head.size >> _LEVELS * (level + 1):
            return self._edge[level]
        hashes = self._known.pop((level, index), None)
        if hashes is None:
            hashes = await self._split(level, index)
            await self._check(level, index, hashes)
        self._known[level, index] = hashes
        if len(self._known) > _TILES_KNOWN:
            del self._known[next(iter(self._known))]
        return hashes

    async def _check(self, level: int, index: int, hashes: list[bytes]) -> None:
        if len(hashes) < WIDTH:
            self._require(hashes, self._edge[level])
        else:
            above = await self._tile(level + 1, index // WIDTH)
            self._require(_perfect(hashes), above[index % WIDTH])

    async def _split(self, level: int, index: int) -> list[bytes]:
        data = await self._read(level, index)
        if len(data) != width_of(self.head.size, level, index) * _HASH_BYTES:
            raise ValueError(f"{tile_path(self.head.size, level, index)} has {len(data)} bytes")
        return [data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES)]

    def _require(self, found: object, signed: object) -> None:
        if found != signed:
            raise DamagedError(self.head)


def _root(edge: Sequence[Sequence[bytes]]) -> bytes:
    """The root of a tree by the partial tile of each level, from the lowest up."""
    root: bytes | None = None
    for tile in edge:
        end, span = len(tile), 1
        while end > 0:
            if end & span:
                subtree = _perfect(tile[end - span : end])
                root = subtree if root is None else _node(subtree, root)
                end -= span
            span *= 2
    return sha256(b"").digest() if root is None else root
