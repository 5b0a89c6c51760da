"""Reads the bus's server-sent events with two Python libraries: httpx-sse and sseclient-py.

Each reads a durable room, disconnects, and connects again with the last id. It gets each message
once and in order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, cast

import httpx
import httpx_sse
import pytest
import sseclient
from bus import Bus


class Event(NamedTuple):
    """One event of a reader."""

    name: str
    data: Any
    id: str


Reader = Callable[[str, dict[str, str]], AbstractContextManager[Iterator[Event]]]


@contextmanager
def by_httpx_sse(url: str, headers: dict[str, str]) -> Iterator[Iterator[Event]]:
    """As httpx-sse reads."""
    with (
        httpx.Client(timeout=60) as client,
        httpx_sse.connect_sse(client, "GET", url, headers=headers) as source,
    ):
        yield (Event(sse.event, json.loads(sse.data), sse.id) for sse in source.iter_sse())


@contextmanager
def by_sseclient(url: str, headers: dict[str, str]) -> Iterator[Iterator[Event]]:
    """Reads with sseclient-py, from any source of bytes."""
    more = {"Accept": "text/event-stream", **headers}
    with httpx.stream("GET", url, headers=more, timeout=60) as response:
        events = cast("Iterator[Any]", sseclient.SSEClient(response.iter_bytes()).events())
        yield (Event(sse.event, json.loads(sse.data), sse.id or "") for sse in events)


READERS = pytest.mark.parametrize("read", [by_httpx_sse, by_sseclient])


def publish(bus: Bus, room: str, first: int, count: int) -> None:
    """Publishes numbers, one message each."""
    headers = {"Authorization": f"Bearer {bus.token('pub')}"}
    with httpx.Client(base_url=bus.http_url, headers=headers) as client:
        for n in range(first, first + count):
            answer = client.post(f"/v1/rooms/{room}/messages", json={"type": "t", "data": n})
            answer.raise_for_status()


def until(events: Iterator[Event], name: str) -> Event:
    """The next event of this name."""
    return next(event for event in events if event.name == name)


@READERS
def test_a_reader_continues_at_its_position(bus: Bus, room_id: str, read: Reader) -> None:
    room = f"durable-{room_id}"
    url = f"{bus.http_url}/v1/rooms/{room}/events"
    headers = {"Authorization": f"Bearer {bus.token('reader')}"}
    received: list[int] = []
    with read(url, headers) as events:
        assert next(events).name == "welcome"
        until(events, "subscribed")
        publish(bus, room, 0, 20)
        for _ in range(7):
            event = until(events, "message")
            received.append(event.data["data"])
    publish(bus, room, 20, 10)
    with read(url, {**headers, "Last-Event-ID": event.id}) as events:
        assert until(events, "subscribed").data["recovered"] is True
        publish(bus, room, 30, 10)
        while len(received) < 40:
            received.append(until(events, "message").data["data"])
    assert received == list(range(40))


@READERS
def test_lines_in_the_data_and_text_beyond_ascii(bus: Bus, room_id: str, read: Reader) -> None:
    rooms = [f"{room_id}-{name}" for name in "ab"]
    url = f"{bus.http_url}/v1/events?room={rooms[0]}&room={rooms[1]}"
    headers = {"Authorization": f"Bearer {bus.token('reader')}", "Accept-Encoding": "gzip"}
    with read(url, headers) as events:
        until(events, "subscribed")
        until(events, "subscribed")
        sender = {
            "Authorization": f"Bearer {bus.token('pub')}",
            "Content-Type": "application/json",
        }
        body = '{"type": "t", "data": {\n  "text": "héllo 😀\\r\\n\\u2028data: x"\r}}'
        for room in rooms:
            target = f"{bus.http_url}/v1/rooms/{room}/messages"
            answer = httpx.post(target, content=body.encode(), headers=sender)
            answer.raise_for_status()
            message = until(events, "message").data
            assert message["room"] == room
            assert message["data"] == {"text": "héllo 😀\r\n\u2028data: x"}
