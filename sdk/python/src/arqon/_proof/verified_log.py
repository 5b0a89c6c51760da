"""Compares the messages of a loop with the room's transparency log.

Each message must be an entry below the newest signed checkpoint, and each checkpoint must extend
the previous one. `read` returns a file of the log by its path.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Any, Final, NoReturn

from arqon._proof.merkle import WIDTH, Edge, Past, TileReader, bundle_of, tile_path, width_of
from arqon._proof.notes import Checkpoint, Key, open_checkpoint
from arqon._proof.text_form import text_of
from arqon.message import Message
from arqon.proof import LogError, ProofError, ProofEvidence, ProofKind

POLL_SECONDS: Final = 1.0
_BUS_TYPE: Final = re.compile("(ROOM|PRESENCE|SYSTEM)_")
_ORIGIN: Final = re.compile(r"([^/.]+)\.([^/.]*)\Z")


@dataclass
class _Entry:
    text: str
    epoch: str
    offset: float
    sha256: str | None
    """None: the record breaks here."""
    kind: str | None
    """The offset of the break."""
    is_over: bool = False
    """The record has continued without it: its log was lost, or restored from a backup."""


def _entry_of(data: bytes) -> _Entry:
    text = data.decode()
    said: dict[str, Any] = json.loads(text)
    return _Entry(text, said["epoch"], said["offset"], said.get("sha256"), said.get("break"))


@dataclass(frozen=True)
class Terms:
    """The requirements for a log. Each key occurs once."""

    keys: Sequence[Key]
    witnesses: Sequence[Key] = ()
    quorum: int = 0
    wait_seconds: float = 60.0
    complete: bool = True
    checkpoint: str | None = None
    """The checkpoint of an earlier visit: the log must extend it."""


class VerifiedLog:
    """Verifies the messages of one room, one after another."""

    def __init__(self, read: Callable[[str], Awaitable[bytes]], terms: Terms) -> None:
        """Reads nothing yet."""
        self._read = read
        self._terms = terms
        self._entries: list[_Entry] = []
        """The entries after the last verified message."""
        self._edge: Edge | None = None
        self._checkpoint: Checkpoint | None = None
        self._is_joined = False
        """Whether the previous entry arrived as a message."""

    @property
    def checkpoint(self) -> str | None:
        """The newest verified checkpoint, for saving; None: none yet."""
        return None if self._checkpoint is None else self._checkpoint.note

    async def hold(self, message: Message) -> Message:
        """The message, once it is verified. Raises `ProofError` and `LogError`."""
        # Messages of the bus itself are not stored; no user may send such a type.
        of_bus = message.signal is not None or _BUS_TYPE.match(message.type)
        if message.offset == 0 and not message.sender and of_bus:
            if message.is_gap:
                self._is_joined = False
            return message
        until = monotonic() + self._terms.wait_seconds
        try:
            await self._hold(message, until)
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(f"the log cannot be read: {error}") from error
        return message

    async def _hold(self, message: Message, until: float) -> None:
        if self._edge is None:
            await self._begin(message.offset, until)
        origin = self._head().origin
        found = _ORIGIN.search(origin)
        tenant_id, own = (found[1], found[2]) if found else ("", None)
        if message.room != own:
            raise LogError(f"a message of {message.room} is not in the log {origin}")
        digest = sha256(text_of(message, tenant_id).encode()).hexdigest()
        while (at := self._find(message, digest)) is None:
            newest = await self._advance()
            if (at := self._find(message, digest)) is not None:
                break
            if monotonic() < until:
                await asyncio.sleep(POLL_SECONDS)
                continue
            if newest.size < self._head().size:
                self._fork(self._head(), newest)
            self._accuse("missing", "the log has no entry of", message, digest)
        before, entry = self._entries[:at], self._entries[at]
        del self._entries[: at + 1]
        # A GAP replaces a message that the SDK cannot read or restore; or the log itself has it.
        if entry.sha256 != digest and not message.is_gap:
            what = "the log has another message in place of"
            self._accuse("changed", what, message, digest, entry.text)
        hidden = [one for one in before if one.sha256 is not None and not one.is_over]
        if self._terms.complete and self._is_joined and hidden:
            what = "the log has an entry that did not arrive before"
            self._accuse("gap", what, message, None, hidden[0].text)
        self._is_joined = True

    def _find(self, message: Message, digest: str) -> int | None:
        """The bus reports the present epoch, also for messages stored in an earlier one."""
        for at, one in enumerate(self._entries):
            if one.sha256 is None or one.offset != message.offset:
                continue
            is_it = not message.epoch or message.is_gap or one.sha256 == digest
            if one.epoch == message.epoch or (is_it and not one.is_over):
                return at
        return None

    def _head(self) -> Checkpoint:
        assert self._checkpoint is not None
        return self._checkpoint

    async def _newest(self) -> Checkpoint:
        """The newest checkpoint, once enough witnesses have cosigned it, after it is published."""
        terms, until = self._terms, monotonic() + self._terms.wait_seconds
        while True:
            note = (await self._read("checkpoint")).decode(errors="replace")
            try:
                checkpoint, count = open_checkpoint(note, terms.keys, terms.witnesses)
            except ValueError as error:
                raise LogError(f"the checkpoint of the log: {error}") from None
            if count >= terms.quorum:
                return checkpoint
            if monotonic() >= until:
                of = len(terms.witnesses)
                raise LogError(f"{count} of {of} witnesses have cosigned the checkpoint")
            await asyncio.sleep(POLL_SECONDS)

    async def _begin(self, offset: int, until: float) -> None:
        """Reads the newest checkpoint, and the tree before it up to the offset."""
        newest, note = await self._newest(), self._terms.checkpoint
        kept = newest if note is None else open_checkpoint(note, self._terms.keys, ())[0]
        # A cache may still serve an older checkpoint: it is a fork only if it stays.
        while kept.size > newest.size and monotonic() < until:
            await asyncio.sleep(POLL_SECONDS)
            newest = await self._newest()
        if kept.size > newest.size or kept.origin != newest.origin:
            self._fork(kept, newest)
        bundles = 1
        while True:
            start = max(0, (kept.size // WIDTH - bundles) * WIDTH)
            self._entries = []
            edge = await Edge.load(start, self._tiles(newest))
            await self._grow(edge, kept, kept, newest)
            await self._grow(edge, kept, newest, newest)
            if start == 0 or (self._entries and self._entries[0].offset < offset):
                return
            bundles *= 2

    def _tiles(self, tree: Checkpoint) -> TileReader:
        """Returns a reader of tiles with their widths in that tree."""
        return lambda level, index: self._read(tile_path(tree.size, level, index))

    async def _advance(self) -> Checkpoint:
        """Reads the newest checkpoint, and its new entries."""
        before, newest = self._head(), await self._newest()
        # An older one proves nothing: the message keeps waiting.
        if newest.size >= before.size and self._edge is not None:
            await self._grow(self._edge.copy(), before, newest, newest)
        return newest

    async def _grow(
        self, edge: Edge, before: Checkpoint, to: Checkpoint, newest: Checkpoint
    ) -> None:
        """Reads the entries up to a checkpoint from the files of the newest one."""
        grown: list[bytes] = []
        while edge.size < to.size:
            index = edge.size // WIDTH
            entries = bundle_of(await self._tiles(newest)("entries", index))
            if entries is None or len(entries) != width_of(newest.size, "entries", index):
                await self._accuse_files(before, newest)
            some = (entries or [])[edge.size % WIDTH : to.size - index * WIDTH]
            edge.append(some)
            grown += some
        # The newest tree need not extend the previous one.
        if edge.root() != to.root:
            await self._accuse_files(before, newest)
        self._edge, self._checkpoint = edge, to
        for entry in map(_entry_of, grown):
            if entry.kind in ("lost", "restored"):
                for one in self._entries:
                    one.is_over = one.is_over or one.offset > entry.offset
            self._entries.append(entry)

    def _fork(self, before: Checkpoint, newest: Checkpoint) -> NoReturn:
        size = f"the log of {newest.size} entries"
        what = f"{size} does not continue its signed checkpoint of {before.size}"
        raise ProofError("fork", what, ProofEvidence((before.note, newest.note)))

    async def _accuse_files(self, before: Checkpoint, newest: Checkpoint) -> NoReturn:
        """In a fork the files match the newer root, with another history."""
        if before.size == newest.size:
            is_fork = before.root != newest.root
        elif before.size > 0:
            past, whole = await Past(newest.size, self._tiles(newest)).roots(before.size)
            is_fork = past != before.root and whole == newest.root
        else:
            is_fork = False
        if is_fork:
            self._fork(before, newest)
        what = f"the files of the log do not make its signed checkpoint of {newest.size} entries"
        raise ProofError("damaged", what, ProofEvidence((newest.note,)))

    def _accuse(
        self,
        kind: ProofKind,
        what: str,
        message: Message,
        digest: str | None,
        entry: str | None = None,
    ) -> NoReturn:
        text = f"{what} the message at offset {message.offset} of {message.room}"
        evidence = ProofEvidence((self._head().note,), entry, message, digest)
        raise ProofError(kind, text, evidence)
