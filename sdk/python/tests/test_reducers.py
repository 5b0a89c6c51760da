"""What a call of a room that is a program sends. The bus part is tests/reducers_test.ts."""

from typing import Any, cast

import pytest

from arqon.reducers import Called, call
from arqon.room import Room


class _Room:
    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.sent: list[tuple[str, Any, str]] = []

    async def command(self, name: str, data: Any, *, command_id: str, **_: Any) -> Any:
        self.sent.append((name, data, command_id))
        return self.answer


@pytest.mark.asyncio
async def test_a_call_says_what_it_is_and_has_an_id() -> None:
    """A new one each time, unless it is given."""
    room = _Room({"entry": 3, "answer": 100})
    assert await call(cast("Room", room), "bid", 100, call_id="one") == Called(3, None, 100)
    await call(cast("Room", room), "close")
    await call(cast("Room", room), "raw", b"\x00\xff")
    names = [(name, data) for name, data, _ in room.sent]
    assert names == [
        ("room.call", {"command": "bid", "data": 100}),
        ("room.call", {"command": "close"}),
        ("room.call", {"command": "raw", "data": {"base64": "AP8="}}),
    ]
    ids = [command_id for _, _, command_id in room.sent]
    assert ids[0] == "one"
    assert len(set(ids)) == len(ids)


@pytest.mark.asyncio
async def test_a_repetition_says_what_it_repeats() -> None:
    """The entry of before."""
    room = _Room({"entry": 3, "repeats": 1, "answer": None})
    assert await call(cast("Room", room), "bid") == Called(3, 1, None)
