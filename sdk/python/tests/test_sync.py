"""The synchronous facade against a real bus."""

from __future__ import annotations

import threading

import pytest
from bus import Bus

import arqon


def test_publish_and_subscribe(bus: Bus, room_id: str) -> None:
    with arqon.connect_sync(bus.url, token=bus.token()) as client:
        with client.subscribe(room_id) as messages:
            client.publish(room_id, "chat", {"text": "hello"})
            assert next(messages).data == {"text": "hello"}
            with pytest.raises(TimeoutError):
                messages.next(0.05)
            assert client.command(room_id, "room.get")["version"] == 0
        with pytest.raises(arqon.ReservedType):
            client.publish(room_id, "SYSTEM_X")
    client.close()
    with pytest.raises(RuntimeError):
        client.publish(room_id, "x")
    assert all(thread.name != "arqon" for thread in threading.enumerate())


def test_refusal(bus: Bus) -> None:
    with pytest.raises(arqon.TokenExpired):
        arqon.connect_sync(bus.url, token=bus.token(ttl_seconds=-3_600))
    assert all(thread.name != "arqon" for thread in threading.enumerate())
