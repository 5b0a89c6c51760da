"""Compares the messages of a loop with the room's transparency log: each must be an entry below the
newest signed checkpoint, and each checkpoint must extend the one before.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias
from urllib.parse import urlsplit

from arqon._proof.merkle import WIDTH, DamagedError, Tree, tile_path
from arqon._proof.notes import Checkpoint, Key, open_checkpoint
from arqon._proof.text_form import text_of
from arqon._session.close_reaction import problem_of, wait_ms_of
from arqon._session.http_socket import Answer, HttpRequests, place_of
from arqon.message import Message
from arqon.proof import LogError, Proof, ProofError, ProofEvidence, ProofKind, proof_of

if TYPE_CHECKING:
    from arqon._driver import Driver
    from arqon._subscription.room_entry import SubscribeOptions
    from arqon.room import Room

Token: TypeAlias = "str | Callable[[], Awaitable[str]] | None"
"""A token, or what gives the present one; None: none is needed."""
POLL_SECONDS: Final = 1.0
# Of a whole answer.
_REQUEST_SECONDS: Final = 30.0
# The largest file: a bundle of the largest entries.
_FILE_BYTES_MAX: Final = 256 * (2 + 65_535)
# A Shield may need this long to see a log that another Shield has created.
_NEW_SECONDS: Final = 10.0
# Beside a checkpoint: the class of the room omits messages for its readers.
_PARTIAL: Final = "x-arqon-partial"


class LogFiles:
    """Reads the files of a log over one persistent connection."""

    def __init__(
        self,
        url: str,
        token: Token,
        wait_seconds: float,
        *,
        tls: ssl.SSLContext | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self._requests = HttpRequests(place_of(parts, tls))
        self._path = parts.path
        self._headers = {"Host": parts.netloc, **(headers or {})}
        self._token = token
        self._wait_seconds = wait_seconds
        self.is_partial = False
        """The class of the room omits messages, as said with the newest checkpoint."""

    async def read(self, path: str) -> bytes:
        """Reads a file. Retries while the bus restarts, and after a requested wait."""
        began = monotonic()
        while True:
            try:
                answer, body = await asyncio.wait_for(self._ask(path), _REQUEST_SECONDS)
            except (OSError, asyncio.TimeoutError) as error:
                again, what = POLL_SECONDS, f"{type(error).__name__}: {error}"
            else:
                if answer.status == 200:
                    if path == "checkpoint":
                        self.is_partial = _PARTIAL in answer.headers
                    return body
                is_new = answer.status == 404 and monotonic() - began < _NEW_SECONDS
                again = POLL_SECONDS if is_new else _wait_of(answer, body)
                what = f"HTTP {answer.status} {body[:1_000].decode(errors='replace')}"
            waited = monotonic() - began
            if again == 0 or waited + again > self._wait_seconds:
                late = f"; waited {waited:.0f} s" if again else ""
                raise LogError(f"{self.url}/{path}: {what}{late}")
            await asyncio.sleep(again)

    async def _ask(self, path: str) -> tuple[Answer, bytes]:
        token = await self._token() if callable(self._token) else self._token
        bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
        target, headers = f"{self._path}/{path}", {**self._headers, **bearer}
        answer, body = await self._requests.ask("GET", target, headers, bytes_max=_FILE_BYTES_MAX)
        if len(body) > _FILE_BYTES_MAX:
            raise LogError(f"{path}: the answer has more than {_FILE_BYTES_MAX} bytes")
        return answer, body

    def close(self) -> None:
        self._requests.abort()


def _wait_of(answer: Answer, body: bytes) -> float:
    """The requested wait in seconds; 0: none."""
    if answer.status < 500 and answer.status != 429:
        return 0
    asked_ms = wait_ms_of(problem_of(body), answer.headers)
    return asked_ms / 1_000 if asked_ms or answer.status == 429 else POLL_SECONDS


# Entries that are read at a time, and about as many are in memory.
_AHEAD: Final = 16 * WIDTH
_LEFT_OUT: Final = (
    "the room's class leaves out messages for its readers, by its filter or without echo, "
    "so say complete=False. This has not come"
)
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
    row: dict[str, Any] = json.loads(text)
    return _Entry(text, row["epoch"], row["offset"], row.get("sha256"), row.get("break"))


class LogVerifier:
    """Verifies the messages of one room, one after another."""

    def __init__(
        self,
        files: LogFiles,
        proof: Proof,
        keys: Sequence[Key],
        checkpoint: str | None,
        *,
        complete: bool = True,
    ) -> None:
        """Nothing is read yet. `checkpoint`: of an earlier visit, which the log must extend."""
        self.files = files
        self._keys = keys
        self._kept = checkpoint
        self._witnesses = proof.witness_keys()
        self._quorum = len(self._witnesses) if proof.quorum is None else proof.quorum
        self._wait_seconds = proof.wait_ms / 1_000
        self._complete = complete and proof.complete
        self._entries: list[_Entry] = []
        """Those behind the last verified message, as far as they are read."""
        self._passed: _Entry | None = None
        """The lowest of those in front of them that did not arrive as a message."""
        self._tree: Tree | None = None
        """The newest verified one."""
        self._size = 0
        """The number of its entries that are read."""
        self._is_joined = False
        """Whether the previous entry arrived as a message."""

    @property
    def checkpoint(self) -> str | None:
        """The newest verified checkpoint, for saving; None: none yet."""
        return None if self._tree is None else self._tree.head.note

    async def hold(self, message: Message) -> Message:
        """The message, once it is verified. Raises `ProofError` and `LogError`."""
        # Messages of the bus itself are not stored; no user may send such a type.
        of_bus = message.signal is not None or _BUS_TYPE.match(message.type)
        if message.offset == 0 and not message.sender and of_bus:
            if message.is_gap:
                self._is_joined = False
            return message
        until = monotonic() + self._wait_seconds
        try:
            await self._hold(message, until)
        except DamagedError as error:
            head = error.head
            what = f"the files of the log do not make its signed checkpoint of {head.size} entries"
            raise ProofError("damaged", what, ProofEvidence((head.note,))) from None
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(f"the log cannot be read: {error}") from error
        return message

    async def _hold(self, message: Message, until: float) -> None:
        if self._tree is None:
            await self._begin(message.offset, until)
        origin = self._head().origin
        found = _ORIGIN.search(origin)
        tenant_id, own = (found[1], found[2]) if found else ("", None)
        if message.room != own:
            raise LogError(f"a message of {message.room} is not in the log {origin}")
        digest = sha256(text_of(message, tenant_id).encode()).hexdigest()
        while (at := self._find(message, digest)) is None:
            newest = await self._advance()
            is_found = self._find(message, digest) is not None
            if is_found or self._size < self._head().size:
                continue
            if monotonic() < until:
                await asyncio.sleep(POLL_SECONDS)
                continue
            if newest.size < self._head().size:
                self._fork(self._head(), newest)
            self._accuse("missing", "the log has no entry of", message, digest)
        self._pass(self._entries[:at])
        entry = self._entries[at]
        del self._entries[: at + 1]
        # A GAP replaces a message that the SDK cannot read or restore; or the log itself has it.
        if entry.sha256 != digest and not message.is_gap:
            what = "the log has another message in place of"
            self._accuse("changed", what, message, digest, entry.text)
        hidden, self._passed = self._passed, None
        if self._complete and self._is_joined and hidden is not None:
            # Nobody has signed what the class is: it excuses no gap, but is no evidence of one.
            if self.files.is_partial:
                raise LogError(f"{_LEFT_OUT}: {hidden.text}")
            what = "the log has what has not come before"
            self._accuse("gap", what, message, None, hidden.text)
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
        assert self._tree is not None
        return self._tree.head

    async def _newest(self) -> Checkpoint:
        """The newest checkpoint, once enough witnesses have cosigned it, after it is published."""
        until = monotonic() + self._wait_seconds
        while True:
            note = (await self.files.read("checkpoint")).decode(errors="replace")
            try:
                checkpoint, count = open_checkpoint(note, self._keys, self._witnesses)
            except ValueError as error:
                raise LogError(f"the checkpoint of the log: {error}") from None
            if count >= self._quorum:
                return checkpoint
            if monotonic() >= until:
                of = len(self._witnesses)
                raise LogError(f"{count} of {of} witnesses have cosigned the checkpoint")
            await asyncio.sleep(POLL_SECONDS)

    async def _begin(self, offset: int, until: float) -> None:
        """Reads the newest checkpoint, and of its entries some that begin before the offset."""
        newest, note = await self._newest(), self._kept
        kept = newest if note is None else open_checkpoint(note, self._keys, ())[0]
        # A cache may still serve an older checkpoint: it is a fork only if it stays.
        while kept.size > newest.size and monotonic() < until:
            await asyncio.sleep(POLL_SECONDS)
            newest = await self._newest()
        if kept.size > newest.size or kept.origin != newest.origin:
            self._fork(kept, newest)
        tree = await self._continued(kept, newest)
        index, back = newest.size // WIDTH, 1
        while True:
            index, back = max(0, index - back), back * 2
            self._entries, self._passed, self._size = [], None, index * WIDTH
            await self._grow(tree)
            if index == 0 or self._entries[0].offset < offset:
                return

    async def _continued(self, before: Checkpoint, newest: Checkpoint) -> Tree:
        """The newest tree. Raises unless it extends the one before."""
        if before.size == newest.size:
            if before.root != newest.root:
                self._fork(before, newest)
            if self._tree is not None:
                return self._tree
        tree = await Tree.load(
            newest, lambda level, at: self.files.read(tile_path(newest.size, level, at))
        )
        if 0 < before.size < newest.size and await tree.root(before.size) != before.root:
            self._fork(before, newest)
        return tree

    async def _advance(self) -> Checkpoint:
        """Reads on, once all of the last checkpoint is read in the newest one; returns it."""
        before = self._head()
        newest = before if self._size < before.size else await self._newest()
        # An older one proves nothing: the message keeps waiting.
        if newest.size >= before.size:
            await self._grow(await self._continued(before, newest))
        return newest

    async def _grow(self, tree: Tree) -> None:
        """Reads the next entries of a tree, about _AHEAD, in place of those before."""
        grown: list[bytes] = []
        size, end = self._size, min(tree.head.size, self._size + _AHEAD)
        while size < end:
            some = (await tree.entries(size // WIDTH))[size % WIDTH :]
            size += len(some)
            grown += some
        self._tree, self._size = tree, size
        self._pass(self._entries)
        self._entries = []
        for entry in map(_entry_of, grown):
            if entry.kind in ("lost", "restored"):
                for one in self._entries:
                    one.is_over = one.is_over or one.offset > entry.offset
                if self._passed is not None and self._passed.offset > entry.offset:
                    self._passed = None
            self._entries.append(entry)

    def _pass(self, entries: Iterable[_Entry]) -> None:
        """Notes what did not arrive. Of several the lowest: what takes it back takes back all."""
        for one in entries:
            is_lower = self._passed is None or one.offset < self._passed.offset
            if one.sha256 is not None and not one.is_over and is_lower:
                self._passed = one

    def _fork(self, before: Checkpoint, newest: Checkpoint) -> NoReturn:
        size = f"the log of {newest.size} entries"
        what = f"{size} does not continue its signed checkpoint of {before.size}"
        raise ProofError("fork", what, ProofEvidence((before.note, newest.note)))

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


class VerifiedLog(LogVerifier):
    """The log of a room at any address, for example behind a CDN.

    `async for message in VerifiedLog(url, proof).verify(room)` is a loop over an entered room.
    """

    def __init__(
        self,
        url: str,
        proof: Proof | Mapping[str, Any],
        *,
        token: Token = None,
        checkpoint: str | None = None,
    ) -> None:
        """`url` is that of the log: `https://cdn.example/v1/proof/acme.bets`.

        One of `proof.vkeys` must have signed it. `token`: for a log that is not public.
        `checkpoint`: of an earlier visit, which the log must extend. Raises as `Proof` does.
        """
        given = proof_of(proof)
        if given is None:
            raise ValueError("proof is None; expected a Proof or a dict")
        files = LogFiles(url.rstrip("/"), token, given.wait_ms / 1_000)
        super().__init__(files, given, given.keys(), checkpoint)

    async def verify(self, room: Room) -> AsyncGenerator[Message, None]:
        """The messages of the room, each once it is verified. Raises `ProofError` and `LogError`.

        Its connection needs the option `proof`: the order of headers, which it then keeps, is part
        of a message's hash.
        """
        if room.bus.options.proof is None:
            raise ValueError(f"room {room.id}: verify needs the option `proof` of connect")
        try:
            async for message in room:
                yield await self.hold(message)
        finally:
            self.files.close()


def room_log(bus: Driver, room: str, options: SubscribeOptions) -> LogVerifier:
    """Of the log of a room, as its connection reaches it. ValueError: nothing can be verified."""
    given, tenant_id = bus.options, bus.welcomed.tenant_id
    proof = given.proof
    assert proof is not None
    keys = [
        key._replace(name=prefix + room)
        for prefix, tenant, key in proof.tenant_keys()
        if tenant == tenant_id
    ]
    if not keys:
        raise ValueError(f"proof.vkeys has none of tenant {tenant_id}")
    base = "http" + bus.url.removeprefix("ws").removesuffix("socket")
    url, wait_seconds = f"{base}proof/{tenant_id}.{room}", proof.wait_ms / 1_000
    token = bus.tokens.current
    files = LogFiles(url, token, wait_seconds, tls=given.tls, headers=given.headers)
    kept = options.verify if isinstance(options.verify, str) else None
    complete = not options.filter and not options.no_echo
    return LogVerifier(files, proof, keys, kept, complete=complete)
