"""A message that the Protobuf library refuses since version 7, and that a server accepted: the SDK
reports an error with its offset, and continues the subscription and the history.
"""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf import __version__ as protobuf_version
from google.protobuf.message import DecodeError
from peer import TOKEN, Peer, ack, requests
from websockets.asyncio.server import ServerConnection

import arqon
from arqon._gen import Envelope, History, Subscribe

pytestmark = pytest.mark.usefixtures("nothing_left")
# An event whose length needs more than five bytes. The vectors of frames.json have other kinds.
TORN = "aa01838080808000" + "0a0165"


def stored(offset: int, owned: str = "aa01030a0165") -> bytes:
    """An envelope as a Shield hands it on: its own fields, the sender's bytes, the offset."""
    own = Envelope(room_id="lobby", sender_id="ann", timestamp=7, headers={"X-Twist-ID": "t"})
    return own.SerializeToString() + bytes.fromhex(owned) + bytes((0x48, offset))


def batch(*envelopes: bytes) -> bytes:
    return b"\x05" + b"".join(bytes((len(one),)) + one for one in envelopes)


def shown(message: arqon.Message) -> tuple[int, str]:
    error = message.error
    if error is None:
        return message.offset, message.type
    assert message.is_gap
    assert message.signal == arqon.Signal("GAP", "lobby", "unreadable")
    assert (message.sender, message.timestamp_ms) == ("ann", 7)
    assert f"message {message.offset} of room lobby" in error.message
    return message.offset, error.reason


async def test_one_message_that_cannot_be_read() -> None:
    if int(protobuf_version.partition(".")[0]) >= 7:
        with pytest.raises(DecodeError):
            Envelope.FromString(stored(2, TORN))

    async def script(_: Peer, socket: ServerConnection) -> None:
        async for request in requests(socket):
            if isinstance(request, Envelope):
                page = History(offset=3, epoch="e").SerializeToString()
                for one in (stored(1), stored(2, TORN), stored(3)):
                    page += bytes((0x0A, len(one))) + one
                await socket.send(ack(request.request_id, result=page))
            if not isinstance(request, Subscribe):
                continue
            await socket.send(ack(request.request_id, offset=0, result=b'{"epoch": "e"}'))
            await socket.send(b"\x04" + stored(1))
            await socket.send(b"\x04" + stored(2, TORN))
            await socket.send(batch(stored(3), stored(4, TORN), stored(5)))

    expected = [(1, "e"), (2, "malformed-frame"), (3, "e"), (4, "malformed-frame"), (5, "e")]
    async with (
        Peer(script) as peer,
        arqon.connect(peer.url, token=TOKEN) as bus,
        bus.room("lobby") as room,
    ):
        received = [shown(await asyncio.wait_for(anext(room), 60)) for _ in range(5)]
        assert received == expected
        history = await room.history()
        assert [shown(message) for message in history.messages] == expected[:3]
        assert (history.offset, history.epoch, history.more) == (3, "e", False)
        assert peer.attempts == 1
