"""Rooms that are programs: calls, and the values that they show.

What a reducer is, and what a call comes to, is in docs/rooms-as-programs.md; values are in
docs/room-values.md.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arqon._state.values_view import Changes, Value
from arqon._state.watched_values import ValuesChanged, WatchedValues
from arqon._subscription.room_entry import SubscribeOptions
from arqon.room import Room

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Called", "Changes", "Value", "ValuesChanged", "WatchedValues", "call", "watch"]


@dataclass(frozen=True)
class Called:
    """What a call came to."""

    entry: int
    """The number of its entry in the room's log."""
    repeats: int | None
    """The entry that it repeats; None: it was applied now."""
    answer: Any
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
) -> Called:
    """Has the room do something; returns once it stands in the room's log and is applied.

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
