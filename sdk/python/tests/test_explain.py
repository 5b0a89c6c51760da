"""Queries of the SDK for messages and errors, on a real bus.

`arq why` and `GET /v1/why` find exactly that message or that refusal.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import urllib.request
from typing import Any

import pytest
from bus import ROOT, Bus, deno
from waits import until

import arqon
from arqon.explanation import question_of

pytestmark = pytest.mark.usefixtures("nothing_left")
TRACE = "0af7651916cd43dd8448eb211c80319c"


async def ask(bus: Bus, explained: arqon.Explanation) -> dict[str, Any]:
    """The answer of the admin API to the path."""

    def fetch() -> dict[str, Any]:
        headers = {"authorization": f"Bearer {bus.token('root', role='admin')}"}
        request = urllib.request.Request(bus.admin_url + explained.path, headers=headers)
        with urllib.request.urlopen(request) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    return await asyncio.to_thread(fetch)


async def ask_arq(bus: Bus, explained: arqon.Explanation) -> dict[str, Any]:
    """The output of the command."""
    words = shlex.split(explained.command)[1:]
    process = await asyncio.create_subprocess_exec(
        *deno(),
        *("run", "-A", "--unstable-net", str(ROOT / "arq/main.ts"), *words, "--json"),
        *("--admin-url", bus.admin_url, "--token", bus.token("root", role="admin")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, output = await process.communicate()
    assert process.returncode == 0, output.decode()
    answer: dict[str, Any] = json.loads(out)
    return answer


def described(answer: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(m["room_id"], m["message_id"], m["twist_id"]) for m in answer["messages"]]


async def test_explain_finds_that_message_alone(bus: Bus, room_id: str) -> None:
    # With the name "bob" the answer would have connections of other tests too.
    reader = f"bob-{room_id}"
    async with (
        arqon.connect(bus.url, token=bus.token("ann")) as ann,
        arqon.connect(bus.url, token=bus.token(reader)) as bob,
        bob.room(room_id) as messages,
    ):
        for message_id in (None, "it's", None):
            sent = await ann.room(room_id).publish("t", "hello", message_id=message_id)
            message = await anext(messages)
            assert sent == 0
            assert message.trace_id == sent.trace_id, "the trace is the publisher's"
            explained = bob.explain(message, user=reader)

            async def delivery(explained: arqon.Explanation = explained) -> dict[str, Any] | None:
                answer = await ask(bus, explained)
                return answer if answer["connections"] else None

            by_id = await until("the Shield has recorded the delivery", delivery)
            assert described(by_id) == [(room_id, message_id or "", message.id)]
            assert [c["outcomes"][0]["state"] for c in by_id["connections"]] == ["sent"]
            by_publish = await ask(bus, ann.explain(sent, user=reader))
            assert by_publish["messages"] == by_id["messages"]
            if message_id is not None:
                shown = await ask_arq(bus, ann.explain(sent, user=reader))
                assert shown["messages"] == by_id["messages"], "quoted for a shell"
        second = await ann.room(room_id).publish("t", "hello", ack=False)
        assert (await anext(messages)).trace_id == second.trace_id
        with pytest.raises(ValueError, match="nothing to ask for"):
            ann.explain(arqon.Message(room_id, signal=arqon.Signal("GAP")))
        with pytest.raises(ValueError, match="one of user and connection"):
            ann.explain(second, user="a", connection="c")


async def test_an_error_names_trace_and_connection(bus: Bus, room_id: str) -> None:
    reported: list[arqon.ArqonError] = []
    grants = [{"room": "own", "actions": ["publish"]}]
    token = bus.token("cat", grants=grants)
    async with arqon.connect(bus.url, token=token, on_error=reported.append) as cat:
        room = cat.room(room_id)
        answers = await asyncio.gather(
            room.publish("t", 1),
            room.publish("t", 1, trace_id=TRACE),
            room.state.get("a"),
            room.__aenter__(),
            return_exceptions=True,
        )
        errors = [answer for answer in answers if isinstance(answer, arqon.ArqonError)]
        assert [error.reason for error in errors] == ["not-granted"] * 4
        assert [len(error.trace_id) for error in errors] == [32, 32, 32, 0], "a SUB has no trace"
        assert errors[1].trace_id == TRACE
        for error in errors:
            assert error.connection_id == cat.connection_id
            refusals = (await ask(bus, cat.explain(error)))["refusals"]
            assert {(r["connection_id"], r["reason"]) for r in refusals} == {
                (cat.connection_id, "not-granted")
            }
        await room.publish("t", 1, ack=False)
        await cat.room("own").publish("t", 1)
        assert [error.connection_id for error in reported] == [cat.connection_id]
        connection_id = cat.connection_id
    with pytest.raises(arqon.ConnectionClosed) as late:
        await room.publish("t", 1, trace_id=TRACE)
    assert (late.value.trace_id, late.value.connection_id) == (TRACE, connection_id)


def test_a_receipt_that_the_bus_could_not_make() -> None:
    assert arqon.Published(7, room="hall").receipt is None
    with pytest.raises(arqon.LogUnavailable, match="is stored"):
        print(arqon.Published(7, room="hall", receipt="").receipt)


def test_what_names_a_message_and_an_error() -> None:
    def asked(what: arqon.Message | arqon.Published | arqon.ArqonError) -> dict[str, str]:
        return question_of(what, None, None, "acme", "ann")

    of = {"tenant": "acme", "room": "hall"}
    message = arqon.Message("hall", message_id="m", offset=7, headers={"X-Twist-ID": "t"})
    assert asked(message) == {**of, "twist": "t"}
    assert asked(arqon.Published(7, room="hall", message_id="m")) == {**of, "offset": "7"}
    assert asked(arqon.Published(0, room="hall", message_id="m", trace_id=TRACE)) == {
        **of,
        "message_id": "m",
    }
    assert asked(arqon.Published(0, room="hall", trace_id=TRACE)) == {**of, "trace": TRACE}
    assert asked(arqon.RateLimited(trace_id=TRACE, connection_id="c")) == {
        "tenant": "acme",
        "trace": TRACE,
        "connection": "c",
    }
    assert asked(arqon.Unreachable()) == {"tenant": "acme", "user": "ann"}
