"""Which messages a page has seen. That nothing is missed is tests/bridge_page_test.ts."""

import pytest

from arqon.message import Message
from arqon.postgres import _is_new, _read  # pyright: ignore[reportPrivateUsage]

AT_MS = 1_795_606_200_000
WRAP = 1 << 32


def _message(xid: str, commit_ms: int = AT_MS - 5) -> Message:
    return Message(room="r", headers={"pg-xid": xid, "pg-commit-ms": str(commit_ms)})


@pytest.mark.parametrize("following", [5_000, WRAP, 3 * WRAP + 5, WRAP + WRAP // 2])
def test_messages_in_the_snapshot_are_left_out(following: int) -> None:
    """Also after transaction ids wrap around."""
    still_open = following - 3
    taken = _read(f"0/1A2B3C8;{still_open}:{following}:{still_open};{AT_MS}")
    for number in range(following - 100, following + 100):
        expected = number >= following or number == still_open
        assert _is_new(_message(str(number % WRAP)), taken) is expected, number


def test_long_after_and_past_the_database_the_time_decides() -> None:
    """Transaction ids wrap around, and some messages have none."""
    taken = _read(f"0/1;100:100:;{AT_MS}")
    assert _is_new(_message("7", AT_MS + 61_000), taken)
    assert not _is_new(_message("7"), taken)
    assert _is_new(Message(room="r", timestamp_ms=AT_MS), taken)
    assert not _is_new(Message(room="r", timestamp_ms=AT_MS - 1), taken)


@pytest.mark.parametrize("taken", ["", "0/1", "0/1;1:2;3", "0/1;1:2:;x", "0/1;a:2:;3"])
def test_an_invalid_position_is_refused(taken: str) -> None:
    """The error has the expected form."""
    with pytest.raises(ValueError, match=r"expected what arqon\.position"):
        _read(taken)
