"""Pure parts: frames against the generated Protobuf, errors, backoff, reactions, positions."""

from __future__ import annotations

import asyncio
import doctest
import gc
import importlib
import math
import pkgutil
import re
from typing import Any

import pytest

import arqon
from arqon import message
from arqon._clock import Backoff
from arqon._gen import Ack, Event
from arqon._session.close_reaction import upgrade_error
from arqon._session.requests import traced_by
from arqon._session.token import refresh_delay_ms, token_expiry_ms
from arqon._subscription.buffer import MessageBuffer
from arqon._tasks import within
from arqon._wire import frames
from arqon._wire.frames import sub_answer_of
from arqon.errors import error_from_wire, error_of, is_passing
from arqon.errors_gen import ERRORS
from arqon.errors_gen import __all__ as REASONS
from arqon.presence import MemberTable, PresenceChanges
from arqon.signing import signing_input


def test_docstrings() -> None:
    names = [module.name for module in pkgutil.walk_packages(arqon.__path__, "arqon.")]
    assert "arqon._wire.frames" in names
    tried = 0
    for name in [name for name in names if "_gen" not in name]:
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        tried += result.attempted
    assert tried > 8


def test_an_ack_with_truncated_numbers_is_malformed() -> None:
    # 2^32 + 2^28 in five bytes: cut to 32 bits it would be written in as many.
    for cut in ("1080808080 11", "08ffffffffffffffffff 7f", "0801 0801", "1d00000000"):
        with pytest.raises(arqon.MalformedFrame):
            frames.decode_server_frame(b"\x09" + bytes.fromhex(cut))


def test_every_reason_has_its_class() -> None:
    assert len(REASONS) == len(ERRORS)
    for reason in ERRORS:
        error = error_of(reason, "x")
        assert error.reason == reason
        assert getattr(arqon, type(error).__name__) is type(error)
        # As a traceback and a pickle name it.
        assert type(error).__module__ == "arqon"
    assert len(error_from_wire(400, "", "x" * 5_000).message) == 1_024


def test_data_that_no_json_can_say() -> None:
    deep = b"[" * 100_000
    assert message.decode_data(deep, "application/json") == deep
    with pytest.raises(ValueError, match="JSON"):
        message.encode_data(float("nan"), None)


def test_an_invalid_position() -> None:
    for offset, epoch in ((0, ""), (-1, "e")):
        with pytest.raises(ValueError, match="offset"):
            arqon.Position(offset, epoch)


def test_unreadable_metadata_of_one_member_does_not_affect_others() -> None:
    from arqon._gen import PresenceMember, PresenceUpdate

    table = MemberTable()
    table.begin({"members": [], "users": 0, "connections": 0, "pages": 1})
    deep = PresenceMember(connection_id="a", user_id="u", meta=b"[" * 100_000 + b"]" * 100_000)
    plain = PresenceMember(connection_id="b", user_id="u", meta=b"1")
    update = PresenceUpdate(members=[deep, plain], users=1, connections=2)
    table.hear("PRESENCE_UPDATE", update.SerializeToString())
    assert [member.meta for member in table.members.values()] == [None, 1]


def members_of(*connection_ids: str, meta: int = 0) -> dict[str, Any]:
    members = [
        {"connection_id": id, "user_id": "u", "joined_ms": 1, "meta": meta} for id in connection_ids
    ]
    return {"members": members, "users": 1, "connections": len(members), "pages": 1}


async def next_changes(changes: PresenceChanges, count: int) -> list[tuple[str, str, object]]:
    found = [await anext(changes) for _ in range(count)]
    return [(change.kind, change.member.connection_id, change.member.meta) for change in found]


async def test_changes_begin_with_the_present_members_and_merge_unread_ones() -> None:
    table, buffer = MemberTable(), MessageBuffer("r", 8, 8, "error", lambda: None)
    table.begin(members_of("a", "b"))
    changes = PresenceChanges(table, buffer)
    assert await next_changes(changes, 2) == [("join", "a", 0), ("join", "b", 0)]
    for n in range(1_000):
        table.begin(members_of("a", f"c{n}", meta=n))
    assert len(changes._different) == 3, "bounded however slow the loop is"
    table.begin(members_of("a", "d", meta=7))
    expected = {("update", "a", 7), ("leave", "b", 0), ("join", "d", 7)}
    assert set(await next_changes(changes, 3)) == expected
    table.begin(members_of("a", meta=8))
    table.begin(members_of("a", "d", meta=7))
    following = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not following.done(), "the answer is unchanged"
    table.begin(members_of("d", meta=7))
    assert (await following).kind == "leave"
    table.begin(members_of(meta=7))
    buffer.end(None)
    assert await next_changes(changes, 1) == [("leave", "d", 7)]
    assert await anext(changes, None) is None
    assert len(table.followers) == 0


async def test_changes_that_are_thrown_away_are_forgotten() -> None:
    table, buffer = MemberTable(), MessageBuffer("r", 8, 8, "error", lambda: None)
    dropped = PresenceChanges(table, buffer)
    following = asyncio.ensure_future(anext(dropped))
    await asyncio.sleep(0)
    assert len(table.followers) == 1
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    del dropped, following
    await asyncio.sleep(0)
    gc.collect()
    assert len(table.followers) == 0


@pytest.mark.parametrize("result", [b"NaN", b'{"a":NaN}', '{"a":1}'.encode("utf-16"), b"[" * 10**5])
def test_the_answer_to_a_sub_is_json_as_everywhere(result: bytes) -> None:
    with pytest.raises(arqon.MalformedFrame):
        sub_answer_of(Ack(result=result))
    assert upgrade_error(502, {}, result).reason == "unreachable"


async def test_a_bound_on_time_loses_neither_cancellation_nor_result() -> None:
    discarded: list[int] = []
    done = asyncio.get_running_loop().create_future()

    async def waits() -> int:
        number: int = await done
        return number

    task = asyncio.ensure_future(within(60, waits(), discarded.append))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done.set_result(7)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert discarded == [7]


def test_signature_of_the_documentation() -> None:
    seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    event = Event(type="pay", data=b'{"amount":5}', content_type="application/json")
    signed = signing_input("default", "pay-1", "m1", frames.payload_field(event))
    assert len(signed) == 82
    signature = arqon.ed25519_key(bytes.fromhex(seed)).sign(signed)
    assert signature.hex().startswith("2cfa50e4f693101a2d5e56c9e1")
    assert signature.hex().endswith("ad90b80995260fe34934bda246f46400")


def test_tokens_and_traces() -> None:
    assert token_expiry_ms("e30.eyJleHAiOjV9.x") == 5_000
    assert token_expiry_ms("nonsense") is None
    assert refresh_delay_ms(100_000, lambda: 0.0) == 75_000
    assert refresh_delay_ms(0, lambda: 0.0) == 1_000
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traced_by(None, None, {"a": "b"}, lambda: parent) == (
        "0af7651916cd43dd8448eb211c80319c",
        {"a": "b", "traceparent": parent},
    )
    made = {traced_by(None, None, {}, lambda: None)[0] for _ in range(100)}
    assert len(made) == 100, "a message without a trace gets a new one"
    assert all(re.fullmatch("[0-9a-f]{32}", trace) for trace in made)
    assert traced_by("1" * 32, None, {}, lambda: parent) == ("1" * 32, {})
    with pytest.raises(ValueError, match="expected 00-"):
        traced_by(None, "00-x", {}, None)
    with pytest.raises(ValueError, match="another trace"):
        traced_by("1" * 32, parent, {}, None)


def test_options_that_cannot_work() -> None:
    for name in ("window", "queue", "initial_attempts"):
        options: Any = {name: 0}
        with pytest.raises(ValueError, match="at least 1"):
            arqon.Options(token="a.b.c", **options)
    wrong: list[tuple[str, Any, str]] = [
        ("backoff", 5, "backoff is 5; expected Backoff(base_ms=…, max_ms=…)"),
        ("backoff", {"initial_ms": 5}, "backoff.initial_ms is 5; expected base_ms or max_ms"),
        ("backoff", {"max_ms": -1}, "backoff.max_ms is -1; expected 0 to 2147483647"),
        ("backoff", {"base_ms": math.nan}, "backoff.base_ms is nan; expected 0 to 2147483647"),
        ("backoff", {"base_ms": "9"}, "backoff.base_ms is '9'; expected 0 to 2147483647"),
        ("window", math.nan, "window is nan; expected at least 1"),
        ("queue_bytes", "5", "queue_bytes is '5'; expected at least 1"),
        ("offline", "drop", "offline is 'drop'; expected 'queue' or 'refuse'"),
        ("headers", ["a"], "headers is ['a']; expected a dict of names and texts"),
        ("headers", {"a b": "c"}, "headers has the name 'a b'; expected letters, digits and '-'"),
        ("headers", {"a": 1}, "headers['a'] is a int; expected one line of ASCII text"),
        ("headers", {"a": "b\r\nc: d"}, "headers['a'] is a str; expected one line of ASCII text"),
        ("signer", "key", "signer is 'key'; expected an object with sign(data)"),
        ("tls", True, "tls is True; expected an ssl.SSLContext"),
        ("traceparent", "00-x", "traceparent is '00-x'; expected a function"),
        ("get_token", "a.b.c", "get_token is not shown; expected a function"),
        ("on_error", None, "on_error is None; expected a function"),
    ]
    for name, value, text in wrong:
        options = {name: value}
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            arqon.connect("localhost:1", token="a.b.c", **options)
    as_dict: Any = {"base_ms": 5}
    assert arqon.Options(token="a.b.c", backoff=as_dict).backoff == Backoff(base_ms=5)
    for url in ("ftp://x", "ws://", "ws://user:secret@host"):
        with pytest.raises(ValueError, match="url is"):
            arqon.connect(url, token="a.b.c")


async def test_room_options_that_cannot_work() -> None:
    client = arqon.connect("localhost:1", token="a.b.c")
    with pytest.raises(ValueError, match="presence=True"):
        client.room("r", member_meta={})
    with pytest.raises(ValueError, match="buffer"):
        client.room("r", buffer=1)
    with pytest.raises(RuntimeError, match="async with"):
        await anext(client.room("r"))
    with pytest.raises(RuntimeError, match="never open"):
        await client.room("r").publish("x")
    await asyncio.sleep(0)


def test_what_must_never_be_retried_is_not_whatever_its_code() -> None:
    for reason, entry in ERRORS.items():
        if entry.client != "never-retry":
            continue
        for code in (408, 429, 503):
            refusal = error_from_wire(code=code, reason=reason, message="")
            assert not is_passing(refusal), (reason, code)
    for reason in ("rate-limited", "log-unavailable", "answer-timeout"):
        assert is_passing(error_of(reason))
