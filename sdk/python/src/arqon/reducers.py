"""Rooms that are programs: calls, and visible values as they change.

docs/rooms-as-programs.md describes reducers and the outcomes of calls, docs/room-values.md values.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from arqon._clock import Backoff, backoff_delay_ms
from arqon._subscription.room_entry import SubscribeOptions
from arqon._tasks import cancel
from arqon._wire.frames import malformed
from arqon.errors import ArqonError, error_of, is_passing
from arqon.message import Message, require_in
from arqon.room import Room

__all__ = ["Called", "Changes", "ReducedRoom", "Value", "ValuesChanged", "WatchedValues", "call"]
__all__ += ["reduced", "watch"]

Answer = TypeVar("Answer")
Value: TypeAlias = str | bytes
"""A value: a text, or bytes that are not UTF-8."""
Changes: TypeAlias = dict[str, Value | None]
"""Written values by key; None: deleted."""
Outcome: TypeAlias = Literal["more", "again", "wait", "whole"]
"""The outcome of a page: read the next one, begin again, wait for changes, or complete."""

# The most changes that wait for pages; above, the pages are read again.
_WAITING_MAX: Final = 65_536


def value_of(wire: Any) -> Value:
    """A value of the wire.

    >>> value_of("x"), value_of({"base64": "AP8="})
    ('x', b'\\x00\\xff')
    """
    return wire if isinstance(wire, str) else base64.b64decode(wire["base64"])


class ValuesView:
    """The values below a prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.version: int | None = None
        """The entry of these values; None: none yet."""
        self.values: dict[str, Value] = {}
        self._scope = ""
        self._received = 0
        """The highest entry of a message in the scope `_received_scope`."""
        self._received_scope = ""
        self._parts: Mapping[str, Any] | None = None
        self._pages: list[Mapping[str, Any]] | None = None
        self._waiting: list[Mapping[str, Any]] = []
        self._waiting_changes = 0

    def begin(self) -> None:
        """Begins to read pages from the first; the present values stay until they are complete."""
        self._pages, self._waiting, self._waiting_changes = [], [], 0

    def page(self, page: Mapping[str, Any]) -> Outcome:
        """Adds a page."""
        pages = self._pages = self._pages if self._pages is not None else []
        pages.append(page)
        if page["scope"] != pages[0]["scope"]:
            return "again"
        # A previous owner may answer with stale values.
        # In another scope entries may have restarted.
        if page["scope"] == self._scope and page["version"] < (self.version or 0):
            return "again"
        return "more" if "next" in page else self.settle()

    def settle(self) -> Outcome:
        """Whether pages and changes are complete."""
        pages = self._pages or []
        version = min(page["version"] for page in pages)
        if self._waiting_changes > _WAITING_MAX:
            return "again"
        read = {key: value_of(value) for page in pages for key, value in page["values"]}
        for news in self._waiting:
            if news["to"] <= version:
                continue
            if news["after"] > version or news["scope"] != pages[0]["scope"]:
                return "again"
            # A newer page already contains them; changes up to its version lead to the same values.
            put(read, self._changes(news, 0))
            version = news["to"]
        if version < max(page["version"] for page in pages):
            return "wait"
        # Earlier messages may be about later entries than a previous owner knows.
        scope = pages[0]["scope"]
        if version < self._received and scope in (self._scope, self._received_scope):
            return "again"
        self._scope, self.version, self.values = scope, version, read
        self._pages, self._waiting = None, []
        return "whole"

    def hear(self, part: Mapping[str, Any]) -> Changes | Literal["again"]:
        """Applies a message; returns the changes, or "again" if it cannot be applied."""
        news = self._whole(part)
        if news is None:
            return {}
        received = self._received if news["scope"] == self._received_scope else 0
        self._received, self._received_scope = max(received, news["to"]), news["scope"]
        if self._pages is not None:
            self._waiting_changes += len(news["changes"])
            if self._waiting_changes <= _WAITING_MAX:
                self._waiting.append(news)
            return {}
        version = self.version or 0
        if news["scope"] != self._scope or news["to"] > version < news["after"]:
            return "again"
        if news["to"] <= version:
            return {}
        changes = self._changes(news, version)
        put(self.values, changes)
        self.version = news["to"]
        return changes

    def _changes(self, news: Mapping[str, Any], version: int) -> Changes:
        return {
            key: None if value is None else value_of(value)
            for entry, key, value in news["changes"]
            if entry > version and key.startswith(self.prefix)
        }

    def _whole(self, part: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The whole message if this is its last part; None: parts are missing."""
        before, self._parts = self._parts, None
        number, more, news = part.get("part", 1), part.get("more", False), part
        if number > 1:
            place = ("after", "to")
            follows = before is not None and all(before[name] == part[name] for name in place)
            if before is None or not follows or before.get("part") != number - 1:
                return None if more else {**part, "after": part["to"], "changes": []}
            news = {**part, "changes": [*before["changes"], *part["changes"]]}
        if not more:
            return news
        self._parts = news
        return None


def put(values: dict[str, Value], changes: Changes) -> None:
    """Writes changes into values."""
    for key, value in changes.items():
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value


def differences(before: Mapping[str, Value], now: Mapping[str, Value]) -> Changes:
    """The changes that lead from one to the other."""
    keys = before.keys() | now.keys()
    return {key: now.get(key) for key in keys if before.get(key) != now.get(key)}


_WAITS: Final = Backoff(base_ms=100, max_ms=5_000)
# Interval, and the most checks, whether the changes have arrived that pages wait for.
_SETTLE_SECONDS: Final = 0.05
_SETTLE_LOOKS: Final = 40


@dataclass(frozen=True)
class ValuesChanged:
    """The changes since the loop's previous item."""

    version: int
    """The entry of the room's log that these values belong to."""
    changes: Changes
    """By key; None: deleted."""


def _readable(failure: Exception) -> ArqonError:
    """The error that ends the watch: without one the program would wait for ever."""
    if isinstance(failure, ArqonError):
        return failure
    error = malformed(f"{type(failure).__name__}: {failure}")
    error.__cause__ = failure
    return error


class WatchedValues:
    """Visible values of a room as they change: `async with watch(room, "public/") as values:`.

    The values are read when the block begins, which raises the refusal. `async for changed in
    values:` yields changes, beginning with the first values; a slow loop gets several in one item.
    It ends when the program closes the connection. A kick raises `Disconnected`, a ban
    `RoomBanned`.
    """

    def __init__(self, room: Room, prefix: str) -> None:
        self._room = room
        self._beside = Room(f"{room.id}~values", room.bus, SubscribeOptions())
        self._view = ValuesView(prefix)
        self._tasks: list[asyncio.Task[None]] = []
        self._due = asyncio.Event()
        """Set when values have to be read."""
        self._news = asyncio.Event()
        self._changes: Changes = {}
        self._reported: int | None = None
        self._is_reading = False
        self._over = False
        self._error: ArqonError | None = None

    @property
    def version(self) -> int:
        """The entry of the room's log that these values belong to."""
        return self._view.version or 0

    @property
    def is_current(self) -> bool:
        """False while missed changes are being read: the values are stale."""
        is_stale = self._due.is_set() or self._is_reading or self._over
        return self._view.version is not None and not is_stale

    def read(self, key: str) -> Value | None:
        """The value of a key; None: none, or it is not visible."""
        return self._view.values.get(key)

    def json(self, key: str) -> Any:
        """The JSON value of a key; None: none. Raises ValueError if it is not JSON."""
        value = self.read(key)
        return None if value is None else json.loads(value)

    def entries(self) -> list[tuple[str, Value]]:
        """All values in the order of their keys."""
        return sorted(self._view.values.items(), key=lambda one: one[0].encode())

    async def __aenter__(self) -> WatchedValues:
        """Begins. Raises the refusal: `InvalidCommand` if the room has no visible values."""
        await self._beside.__aenter__()
        self._due.set()
        self._tasks = [self._room.bus.spawn(self._hear()), self._room.bus.spawn(self._read())]
        try:
            while self._view.version is None:
                await self._news.wait()
                self._news.clear()
                if self._over and self._view.version is None:
                    raise self._error or error_of("connection-closed", "the watch has ended")
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Stops watching; the values stay unchanged."""
        self._end(None)
        await cancel(*self._tasks)
        await self._beside.__aexit__(*raised)

    def __aiter__(self) -> WatchedValues:
        return self

    async def __anext__(self) -> ValuesChanged:
        """The next changes. Raises the error that ended it."""
        while self._view.version is None or (self.version == self._reported and not self._changes):
            if self._over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._news.wait()
            self._news.clear()
        self._reported = self.version
        changes, self._changes = self._changes, {}
        return ValuesChanged(self.version, changes)

    def _end(self, error: ArqonError | None) -> None:
        if not self._over:
            self._over, self._error = True, error
        self._news.set()

    async def _hear(self) -> None:
        error = None
        try:
            async for message in self._beside:
                require_in(self._room.id, message)
                self._take(message)
        except Exception as failure:
            error = _readable(failure)
        finally:
            # Also when the program closes the connection, which cancels this.
            self._end(error)

    def _take(self, message: Message) -> None:
        if message.is_gap:
            self._due.set()
        if message.type != "values" or message.sender:
            return
        changes = self._view.hear(message.data)
        if changes == "again":
            self._due.set()
        else:
            self._changes.update(changes)
            self._news.set()

    async def _read(self) -> None:
        try:
            while True:
                await self._due.wait()
                self._is_reading = True
                await self._read_all()
                self._is_reading = False
                self._news.set()
        except Exception as failure:
            self._end(_readable(failure))

    async def _read_all(self) -> None:
        attempt = 0
        while self._due.is_set():
            self._due.clear()
            before = self._view.values
            try:
                outcome = await self._read_pages()
            except ArqonError as error:
                if not is_passing(error):
                    raise
                outcome = "again"
            if outcome == "whole":
                self._changes |= differences(before, self._view.values)
                continue
            self._due.set()
            random = self._room.bus.options.random
            await asyncio.sleep(backoff_delay_ms(attempt, _WAITS, random) / 1_000)
            attempt += 1

    async def _read_pages(self) -> Outcome:
        self._view.begin()
        outcome: Outcome = "more"
        asked: dict[str, Any] = {"prefix": self._view.prefix} if self._view.prefix else {}
        while outcome == "more":
            page = await self._room.command("room.values", asked)
            outcome = self._view.page(page)
            asked = {**asked, "after": page.get("next")}
        for _ in range(_SETTLE_LOOKS):
            if outcome != "wait":
                break
            await asyncio.sleep(_SETTLE_SECONDS)
            outcome = self._view.settle()
        return outcome


@dataclass(frozen=True)
class Called(Generic[Answer]):
    """The outcome of a call."""

    entry: int
    """The offset of its entry in the room's log."""
    repeats: int | None
    """The entry that it repeats; None: it is not a repetition."""
    answer: Answer
    """The reducer's answer: None for none, `{"base64": …}` if it is not text."""
    visible: bool = False
    """Whether it changed a visible value; also False for a repetition."""


async def call(
    room: Room,
    command: str,
    data: Any = None,
    *,
    call_id: str | None = None,
    timeout_ms: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Called[Any]:
    """Calls a command of the room; returns once the call is in the room's log and applied.

    A text is sent as it is, bytes as bytes, any other data as JSON. The SDK repeats the call over
    reconnects; it is applied once, as long as the room remembers its `call_id`. Raises
    `CallRejected` with the reducer's code and reason, `InvalidCommand` if the room has no reducer,
    or as `Room.command`.
    """
    asked: dict[str, Any] = {"command": command}
    if isinstance(data, bytes):
        asked["data"] = {"base64": base64.b64encode(data).decode("ascii")}
    elif data is not None:
        asked["data"] = data
    answer = await room.command(
        "room.call",
        asked,
        command_id=call_id or str(uuid.uuid4()),
        timeout_ms=timeout_ms,
        headers=headers,
    )
    return Called(
        answer["entry"], answer.get("repeats"), answer["answer"], answer.get("visible", False)
    )


def watch(room: Room, prefix: str = "") -> WatchedValues:
    """Watches the visible values of a room below a prefix, also over reconnects.

    `async with watch(bus.room("auction-1"), "public/") as values:`
    """
    return WatchedValues(room, prefix)


class ReducedRoom:
    """A room that is a program, with its calls: `reduced(room)`.

    Code generated by `arq reducer types` adds their types.
    """

    def __init__(self, room: Room) -> None:
        self._room = room

    @property
    def id(self) -> str:
        """The room's id."""
        return self._room.id

    async def call(
        self,
        command: str,
        data: Any = None,
        *,
        call_id: str | None = None,
        timeout_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Called[Any]:
        """As `arqon.reducers.call`."""
        return await call(
            self._room, command, data, call_id=call_id, timeout_ms=timeout_ms, headers=headers
        )

    def watch(self, prefix: str = "") -> WatchedValues:
        """As `arqon.reducers.watch`."""
        return watch(self._room, prefix)


reduced = ReducedRoom
