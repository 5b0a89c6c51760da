"""Scripted Shields with one room: a client leaves the first and moves to the next ones."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from peer import Peer, ack, answer_of, request_of
from websockets.asyncio.server import ServerConnection

import arqon
from arqon._gen import (
    Envelope,
    PresenceLeave,
    PresenceMember,
    PresenceUpdate,
    Subscribe,
    SystemSignal,
)

# With these options a client does not wait between attempts, or before it moves.
AT_ONCE: dict[str, Any] = {"random": lambda: 0.0, "backoff": arqon.Backoff(base_ms=1, max_ms=1)}


@dataclass
class Sub:
    """A SUB that a Shield received."""

    shield: int
    meta: object
    request_id: int
    socket: ServerConnection

    async def accept(self, *connection_ids: str) -> None:
        """Answers that these connections are in the room."""
        members = [{"connection_id": id, "user_id": id, "joined_ms": 1} for id in connection_ids]
        count = len(members)
        answer = {"members": members, "connections": count, "users": count, "pages": 1}
        await self.socket.send(ack(self.request_id, result=json.dumps(answer).encode()))

    async def refuse(self, code: int = 503, reason: str = "spine-unavailable") -> None:
        """Refuses the SUB. With code 503 the client tries again."""
        wait_ms = 1 if code == 503 else 0
        refusal = ack(self.request_id, code=code, reason=reason, retry_after_ms=wait_ms)
        await self.socket.send(refusal)


async def nothing(_: int) -> None:
    """A Shield does nothing before it answers a command."""


class Shields(Peer):
    """`answer` gets every SUB. The first Shield sends no PONG before `release`."""

    def __init__(
        self,
        answer: Callable[[Sub], Awaitable[None]],
        before_command: Callable[[int], Awaitable[None]] = nothing,
    ) -> None:
        super().__init__(self._play)
        self._answer = answer
        self._before_command = before_command
        self._pings: list[bytes] = []
        self._released = False
        self.sockets: list[ServerConnection] = []
        self.subs: list[Sub] = []

    async def __aenter__(self) -> Shields:
        await super().__aenter__()
        return self

    def metas(self, shield: int) -> list[object]:
        """The metadata of the SUBs to one Shield, in order."""
        return [sub.meta for sub in self.subs if sub.shield == shield]

    async def drain(self) -> None:
        """The first Shield announces that it stops."""
        drain = Envelope()
        drain.signal.kind = SystemSignal.KIND_DRAIN
        # The scripted Shield's clock is 0 when it sends WELCOME.
        drain.signal.until_ms = 60_000
        await self.sockets[0].send(b"\x04" + drain.SerializeToString())

    async def release(self) -> None:
        """Lets the client leave the first Shield."""
        self._released = True
        for body in self._pings:
            await self.sockets[0].send(b"\x08" + body)

    async def tell(self, shield: int, came: str = "", left: str = "") -> None:
        """Sends that a member joined or left the room."""
        member = PresenceMember(connection_id=came or left, user_id=came or left, joined_ms=1)
        change = (PresenceUpdate if came else PresenceLeave)(members=[member], users=2)
        envelope = Envelope(room_id="lobby")
        envelope.event.type = "PRESENCE_UPDATE" if came else "PRESENCE_LEAVE"
        envelope.event.data = change.SerializeToString()
        await self.sockets[shield].send(b"\x04" + envelope.SerializeToString())

    async def _play(self, _: Peer, socket: ServerConnection) -> None:
        shield = len(self.sockets)
        self.sockets.append(socket)
        async for frame in socket:
            if frame[0] == 0x07:
                assert isinstance(frame, bytes)
                if shield > 0 or self._released:
                    await socket.send(b"\x08" + frame[1:])
                else:
                    self._pings.append(frame[1:])
                continue
            request = request_of(frame)
            if isinstance(request, Subscribe):
                meta = json.loads(request.member_meta) if request.member_meta else None
                sub = Sub(shield, meta, request.request_id, socket)
                self.subs.append(sub)
                await self._answer(sub)
                continue
            if isinstance(request, Envelope):
                await self._before_command(shield)
            await socket.send(answer_of(request))
