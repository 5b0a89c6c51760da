"""Watches visible values of a room: reads them, and receives their changes in the room beside it.

What was missed over a reconnect is recovered like messages of any durable room; where it is not
available, values are read again, and keep those of the moment before until then.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from arqon._state.values_view import Changes, Outcome, Value, ValuesView
from arqon._time.backoff import Backoff, backoff_delay_ms
from arqon.errors import ArqonError, error_of

if TYPE_CHECKING:
    from arqon.message import Message
    from arqon.room import Room

_WAITS: Final = Backoff(base_ms=100, max_ms=5_000)
# How often it is looked whether changes have come that pages wait for, and how often at most.
_SETTLE_SECONDS: Final = 0.05
_SETTLE_LOOKS: Final = 40


@dataclass(frozen=True)
class ValuesChanged:
    """What has changed since the loop was notified last."""

    version: int
    """The entry of the room's log whose values these are."""
    changes: Changes
    """By key; None: deleted."""


class WatchedValues:
    """Visible values of a room as they change: `async with watch(room, "public/") as values:`.

    They are there when the block begins, which raises the refusal. `async for changed in values:`
    tells changes, the first values as well; a slow loop gets several as one. Ends with the
    connection, and when this client is put out of the room.
    """

    def __init__(self, room: Room, beside: Room, prefix: str) -> None:
        """Use `arqon.reducers.watch`."""
        self._room = room
        self._beside = beside
        self._view = ValuesView(prefix)
        self._tasks: list[asyncio.Task[None]] = []
        self._due = asyncio.Event()
        """Something is to be read."""
        self._news = asyncio.Event()
        self._changes: Changes = {}
        self._told: int | None = None
        self._is_reading = False
        self._over = False
        self._error: BaseException | None = None

    @property
    def version(self) -> int:
        """The entry of the room's log whose values these are."""
        return self._view.version or 0

    @property
    def is_current(self) -> bool:
        """False while something was missed and is being read: values are of an earlier moment."""
        return self._view.version is not None and not self._is_reading and not self._over

    def read(self, key: str) -> Value | None:
        """The value of a key; None: there is none, or nobody sees it."""
        return self._view.values.get(key)

    def json(self, key: str) -> Any:
        """The value of a key that is JSON; None: there is none. Raises ValueError otherwise."""
        value = self.read(key)
        return None if value is None else json.loads(value)

    def entries(self) -> list[tuple[str, Value]]:
        """All values in the order of their keys."""
        return sorted(self._view.values.items(), key=lambda one: one[0].encode())

    async def __aenter__(self) -> WatchedValues:
        """Begins. Raises the refusal, `InvalidCommand` where the room shows no values."""
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
        """Ends it; the values stay what they are."""
        self._end(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._beside.__aexit__(*raised)

    def __aiter__(self) -> WatchedValues:
        """The changes."""
        return self

    async def __anext__(self) -> ValuesChanged:
        """The next ones. Raises the error that ended it."""
        while self._view.version is None or (self.version == self._told and not self._changes):
            if self._over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._news.wait()
            self._news.clear()
        self._told = self.version
        changes, self._changes = self._changes, {}
        return ValuesChanged(self.version, changes)

    def _end(self, error: BaseException | None) -> None:
        if not self._over:
            self._over, self._error = True, error
        self._news.set()

    def _ask(self) -> None:
        self._is_reading = True
        self._due.set()

    async def _hear(self) -> None:
        try:
            async for message in self._beside:
                self._take(message)
            self._end(None)
        except ArqonError as error:
            self._end(error)

    def _take(self, message: Message) -> None:
        if message.is_gap:
            self._ask()
        if message.type != "values" or message.sender:
            return
        changes = self._view.hear(message.data)
        if changes == "again":
            self._ask()
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
        except ArqonError as error:
            self._end(error)

    async def _read_all(self) -> None:
        attempt = 0
        while self._due.is_set():
            self._due.clear()
            before = self._view.values
            try:
                outcome = await self._read_pages()
            except ArqonError as error:
                if not _is_passing(error):
                    raise
                outcome = "again"
            if outcome == "whole":
                self._compare(before)
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

    def _compare(self, before: dict[str, Value]) -> None:
        now = self._view.values
        for key in before.keys() | now.keys():
            if before.get(key) != now.get(key):
                self._changes[key] = now.get(key)


def _is_passing(error: ArqonError) -> bool:
    if error.code == 503 and not error.retryable:
        return False
    lost = error.reason in ("connection-lost", "answer-timeout")
    return lost or error.code in (408, 429, 503)
