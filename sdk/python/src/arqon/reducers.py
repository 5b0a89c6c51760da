"""Rooms that are programs: calls, and the values that they show.

What a reducer is, and what a call comes to, is in docs/rooms-as-programs.md; values are in
docs/room-values.md.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from arqon._state.watched_values import Changes, Value, ValuesChanged, WatchedValues
from arqon._subscription.room_entry import SubscribeOptions
from arqon.room import Room

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Called",
    "Changes",
    "ReducedRoom",
    "Value",
    "ValuesChanged",
    "WatchedValues",
    "call",
    "reduced",
    "watch",
]

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Called(Generic[Answer]):
    """What a call came to."""

    entry: int
    """The number of its entry in the room's log."""
    repeats: int | None
    """The entry that it repeats; None: it was applied now."""
    answer: Answer
    """What the reducer answered: None when nothing, `{"base64": …}` when it is no text."""
    visible: bool = False
    """Whether it has changed a value that the room shows; False also where it repeats one."""


async def call(
    room: Room,
    command: str,
    data: Any = None,
    *,
    call_id: str | None = None,
    timeout_ms: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Called[Any]:
    """Has the room do something; returns once it is in the room's log and is applied.

    Data that is a text comes as it is, bytes as bytes, any other as JSON. Repeated over reconnects
    and applied once: with the same `call_id` as long as the room remembers it. Raises
    `CallRejected` with the reducer's code and reason, `InvalidCommand` where the room
    has no reducer, or as `Room.command`.
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
    """The values that the room's class shows below a prefix, as they change and over reconnects.

    `async with watch(bus.room("auction-1"), "public/") as values:`
    """
    return WatchedValues(room, Room(f"{room.id}~values", room.bus, SubscribeOptions()), prefix)


class ReducedRoom:
    """A room that is a program, as `reduced` makes it."""

    def __init__(self, room: Room) -> None:
        """Use `reduced`."""
        self._room = room

    @property
    def id(self) -> str:
        """The room."""
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


def reduced(room: Room) -> ReducedRoom:
    """The same room with its calls; what `arq reducer types` has made gives it with their types."""
    return ReducedRoom(room)
