"""A client of `deno task bench sdk` in Python: `websockets` alone, with the decoder, or the SDK.

It gets or publishes so many messages and says what CPU time they took. Its argument is a
`ClientPlan` of `plan.ts`; `client.ts` is the same on Deno.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

import arqon
from arqon._gen.control_pb2 import Ack, Subscribe
from arqon._gen.envelope_pb2 import Envelope, Event
from arqon._wire import frames

WINDOW = 256
Plan = dict[str, Any]


def say(word: object) -> None:
    """A line for the benchmark."""
    print(json.dumps(word), flush=True)


class Meter:
    """Counts messages; `result` is what those after the warm-up cost."""

    def __init__(self, plan: Plan) -> None:
        """Nothing has come yet."""
        self._warmup = plan["warmup"]
        self._total = plan["warmup"] + plan["messages"]
        self.count = 0
        self.frames = 0
        self._from: tuple[int, int, float, float] | None = None
        self.result: dict[str, float] | None = None

    def add(self, messages: int, of_frames: int = 1) -> bool:
        """Whether there are more to come."""
        self.count += messages
        self.frames += of_frames
        if self._from is None and self.count >= self._warmup:
            self._from = (self.count, self.frames, time.process_time(), time.perf_counter())
        if self.count < self._total or self._from is None:
            return True
        count, of, cpu, wall = self._from
        self.result = {
            "messages": self.count - count,
            "frames": self.frames - of,
            "cpu_us": (time.process_time() - cpu) * 1e6,
            "wall_us": (time.perf_counter() - wall) * 1e6,
        }
        return False


def counted(frame: bytes) -> int:
    """Messages of a MSG or BATCH, without decoding them."""
    if frame[0] == frames.MSG:
        return 1
    count, at = 0, 1
    while at < len(frame):
        size = shift = 0
        while True:
            byte = frame[at]
            at += 1
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        at += size
        count += 1
    return count


def decoded(frame: bytes) -> int:
    """The same, with every message as the generated class."""
    envelopes = frames.decode_server_frame(frame)
    assert isinstance(envelopes, list)
    return len(envelopes)


async def open_socket(plan: Plan) -> ClientConnection:
    """The library alone, with the SDK's options; WELCOME has come."""
    socket = await connect(
        plan["url"],
        subprotocols=[Subprotocol("arqon.v1")],
        additional_headers={"Authorization": f"Bearer {plan['token']}"},
        compression=None,
        ping_interval=None,
        max_size=33_554_432,
    )
    await socket.recv()
    return socket


async def answered(socket: ClientConnection, frame: bytes | str) -> bool:
    """Whether it was a PING, which is answered."""
    assert isinstance(frame, bytes)
    if frame[0] == frames.PING:
        await socket.send(bytes((frames.PONG,)) + frame[1:])
    return frame[0] == frames.PING


async def receive_frames(plan: Plan, count: Callable[[bytes], int]) -> Meter:
    """The library alone, or with the decoder."""
    meter = Meter(plan)
    socket = await open_socket(plan)
    await socket.send(
        frames.encode_sub(Subscribe(room_id=plan["room_id"], request_id=1, batch=True))
    )
    async for frame in socket:
        assert isinstance(frame, bytes)
        if frame[0] in (frames.MSG, frames.BATCH):
            if not meter.add(count(frame)):
                break
        elif not await answered(socket, frame):
            say({"ready": True})
    return meter


async def receive_messages(plan: Plan) -> Meter:
    """The SDK."""
    meter = Meter(plan)
    bus = await arqon.connect(plan["url"], token=plan["token"])
    async with bus.room(plan["room_id"]) as room:
        say({"ready": True})
        async for message in room:
            if message.signal is not None or len(message.data) != plan["size_bytes"]:
                raise RuntimeError("messages were lost")
            if not meter.add(1, 0):
                break
    return meter


async def publish_frames(plan: Plan, is_ack: Callable[[bytes], bool]) -> Meter:
    """The same frame again and again, always WINDOW of them unanswered."""
    meter = Meter(plan)
    event = Event(
        type="bench", data=bytes(plan["size_bytes"]), content_type="application/octet-stream"
    )
    envelope = Envelope(room_id=plan["room_id"], ack_requested=True, request_id=1)
    frame = frames.encode_pub(envelope, frames.payload_field(event))
    socket = await open_socket(plan)
    say({"ready": True})
    for _ in range(WINDOW):
        await socket.send(frame)
    async for answer in socket:
        if await answered(socket, answer):
            continue
        assert isinstance(answer, bytes)
        if not is_ack(answer):
            raise RuntimeError("refused")
        if not meter.add(1):
            break
        await socket.send(frame)
    return meter


def is_decoded_ack(frame: bytes) -> bool:
    """With the generated class."""
    ack = frames.decode_server_frame(frame)
    return isinstance(ack, Ack) and ack.code == 0


async def publish_messages(plan: Plan) -> Meter:
    """The SDK, by as many tasks as there may be unanswered."""
    meter = Meter(plan)
    data = bytes(plan["size_bytes"])
    async with arqon.connect(plan["url"], token=plan["token"], window=WINDOW) as bus:
        room = bus.room(plan["room_id"])
        say({"ready": True})

        async def publish_on() -> None:
            while meter.result is None:
                await room.publish("bench", data)
                if meter.result is None:
                    meter.add(1)

        await asyncio.gather(*(publish_on() for _ in range(WINDOW)))
    return meter


RECEIVE: dict[str, Callable[[Plan], Awaitable[Meter]]] = {
    "raw": lambda plan: receive_frames(plan, counted),
    "decoded": lambda plan: receive_frames(plan, decoded),
    "sdk": receive_messages,
}
PUBLISH: dict[str, Callable[[Plan], Awaitable[Meter]]] = {
    "raw": lambda plan: publish_frames(plan, lambda frame: frame[0] == frames.ACK),
    "decoded": lambda plan: publish_frames(plan, is_decoded_ack),
    "sdk": publish_messages,
}


async def main(plan: Plan) -> None:
    """Says what it cost; the benchmark ends the process."""
    run = (PUBLISH if plan["load"] == "publish" else RECEIVE)[plan["part"]]
    say((await run(plan)).result)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
