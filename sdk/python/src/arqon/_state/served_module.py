"""The module that is a room, from the bus: page by page, and held to its digest."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from arqon.errors import error_of

if TYPE_CHECKING:
    from arqon.room import Room

# Deploys in the middle of it that are borne.
_ATTEMPTS: Final = 8


@dataclass(frozen=True)
class ServedModule:
    """A module as the bus gives it: metered, so that it ends."""

    module: str
    """Hex SHA-256 of the module that was deployed."""
    content: bytes
    fuel_units: int
    """How much a call may do."""


async def _read(room: Room) -> ServedModule | None:
    """None: another one was deployed meanwhile."""
    first: dict[str, Any] = await room.command("room.module", {})
    page, content = first, b""
    while True:
        part = base64.b64decode(page["bytes"])
        content += part
        is_other = page["sha256"] != first["sha256"]
        if is_other or not part or len(content) > first["size_bytes"]:
            return None
        if len(content) == first["size_bytes"]:
            break
        page = await room.command("room.module", {"from": len(content)})
    if hashlib.sha256(content).hexdigest() != first["sha256"]:
        return None
    return ServedModule(first["module"], content, first["fuel_units"])


async def served_module(room: Room) -> ServedModule:
    """Reads it. Raises `InvalidCommand` where the class of the room gives none."""
    for _ in range(_ATTEMPTS):
        found = await _read(room)
        if found is not None:
            return found
    raise error_of("answer-timeout", f"room.module of {room.id}")
