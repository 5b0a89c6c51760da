"""Random WebSocket frames, read by our reader and by the package wsproto: the same events."""

from __future__ import annotations

import json
import random

from ours import by_us
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

SEED = 20261121
STREAMS = 3_000
Event = list[object]


def frame(rng: random.Random) -> bytes:
    """One frame of a client: mostly right, sometimes not."""
    opcode = rng.choices([0, 1, 2, 8, 9, 10, 3, 11], [20, 25, 20, 3, 10, 5, 1, 1])[0]
    fin = rng.random() < 0.7 or (opcode >= 8 and rng.random() < 0.95)
    reserved = rng.choices([0, 4, 1], [60, 1, 1])[0]
    kind = rng.random()
    if opcode == 8 and kind < 0.8:
        code = rng.choice([1000, 1001, 1002, 1003, 1005, 1006, 1007, 1011, 2999, 3000, 4999, 999])
        body = code.to_bytes(2, "big") + rng.choice([b"", "grüße".encode(), b"\xff"])
    elif kind < 0.5:
        body = "".join(rng.choices("aé€😀", k=rng.randrange(0, 12))).encode()
        if rng.random() < 0.3:
            cut = rng.randrange(0, len(body) + 1)
            body = body[:cut]
    else:
        body = rng.randbytes(rng.choice([0, 1, 5, 125, 126, 300]))
    if opcode >= 8 and rng.random() < 0.95:
        body = body[:125]
    masked = rng.random() < 0.98
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    if len(body) < 126:
        head += bytes([mask_bit | len(body)])
    else:
        head += bytes([mask_bit | 126]) + len(body).to_bytes(2, "big")
    if not masked:
        return head + body
    mask = rng.randbytes(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))


def read_by_wsproto(data: bytes) -> list[Event]:
    """What wsproto makes of what one client sends."""
    protocol = FrameProtocol(client=False, extensions=[])
    events: list[Event] = []
    parts: list[bytes] = []
    try:
        protocol.receive_bytes(data)
        for received in protocol.received_frames():
            payload = received.payload
            if received.opcode is Opcode.PONG:
                events.append(["pong"])
            elif isinstance(payload, tuple):
                events.append(["closed", int(payload[0])])
                return events
            else:
                text = isinstance(payload, str)
                body = payload.encode() if isinstance(payload, str) else bytes(payload)
                if received.opcode is Opcode.PING:
                    events.append(["ping", body.hex()])
                    continue
                parts.append(body)
                if received.message_finished:
                    events.append(["text" if text else "binary", b"".join(parts).hex()])
                    parts = []
    except ParseFailed as error:
        events.append(["failed", int(error.code)])
    return events


def test_random_frames_are_read_alike() -> None:
    rng = random.Random(SEED)
    streams = [b"".join(frame(rng) for _ in range(rng.randrange(1, 9))) for _ in range(STREAMS)]
    printed = by_us("frame_events.ts", lines=[data.hex() for data in streams])
    ours = [json.loads(line) for line in printed]
    assert len(ours) == STREAMS
    failed = 0
    for data, events in zip(streams, ours, strict=True):
        expected = read_by_wsproto(data)
        assert events == expected, data.hex()
        failed += any(event[0] == "failed" for event in events)
    assert 0 < failed < STREAMS, "some streams are right and some are not"
