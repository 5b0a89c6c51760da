"""Runs one case of the vectors of `sdk/conformance` with this SDK: one runner for each file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, TypeAlias, cast

import pytest
from bus import ROOT, deno
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

import arqon
from arqon import MalformedFrame
from arqon._clock import Backoff, backoff_delay_ms
from arqon._gen import (
    Ack,
    Command,
    Envelope,
    Event,
    Refresh,
    Subscribe,
    SystemSignal,
    Unsubscribe,
    Welcome,
)
from arqon._session.close_reaction import Reaction, close_reaction, refusal_reaction
from arqon._session.deltas import DeltaBases, apply_fossil, apply_vcdiff
from arqon._subscription.position import Place
from arqon._subscription.replay import Reading
from arqon._wire import frames
from arqon._wire.frames import Ping, Pong, decode_server_frame, payload_field
from arqon.errors import error_from_wire, error_of
from arqon.errors_gen import ERRORS
from arqon.message import decode_data, message_of
from arqon.presence import MemberTable
from arqon.proof import LogError, ProofError

Case: TypeAlias = dict[str, Any]
_MADE: Final = subprocess.run(
    [*deno(), "run", "--no-prompt", "--allow-read", str(ROOT / "sdk/conformance/generate.ts")],
    cwd=ROOT,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    check=True,
).stdout.rstrip()
VECTORS: Final[dict[str, dict[str, Any]]] = json.loads(_MADE)
"""Every vectors file by its name."""
VECTORS_SHA256: Final = hashlib.sha256(_MADE).hexdigest()
"""A digest of all vectors: a change of their bytes shows in the committed results."""
BYTES: Final = {"data", "signature", "result", "member_meta", "positions"}


def plain(message: Message) -> Case:
    """A message as the vectors write it: no defaults, bytes as hex, numbers over 2^53 as text."""
    out: Case = {}
    for field, value in message.ListFields():
        if field.name == "headers":
            out[field.name] = dict(value)
        elif field.name == "kind":
            # A kind of a newer Shield is as none.
            if value in SystemSignal.Kind.values():
                out[field.name] = SystemSignal.Kind.Name(value).removeprefix("KIND_")
        elif isinstance(value, Message):
            out[field.name] = plain(value)
        elif isinstance(value, bytes):
            out[field.name] = value.hex()
        else:
            big = type(value) is int and value >= 2**53
            out[field.name] = str(value) if big else value
    return out


def filled(value: Case, into: Message) -> Any:
    """Encodes it again."""
    for name, item in value.items():
        if name in BYTES:
            setattr(into, name, bytes.fromhex(item))
        elif name == "headers":
            cast("Any", into).headers.update(item)
        elif isinstance(item, dict):
            getattr(into, name).SetInParent()
            filled(item, getattr(into, name))
        else:
            ParseDict({name: f"KIND_{item}" if name == "kind" else item}, into)
    return into


def plain_frame(data: bytes, deltas: DeltaBases | None = None) -> Case:
    try:
        frame = decode_server_frame(data)
    except MalformedFrame:
        return {"kind": "refused"}
    if isinstance(frame, list):
        for envelope in frame:
            if deltas is not None:
                deltas.unfold(envelope)
        messages = [plain(envelope) for envelope in frame]
        if data[0] == frames.BATCH:
            return {"kind": "batch", "messages": messages}
        return {"kind": "msg", "message": messages[0]}
    if isinstance(frame, frames.Err):
        return {"kind": "err", **{name: item for name, item in asdict(frame).items() if item}}
    if isinstance(frame, Ping | Pong):
        return {"kind": type(frame).__name__.lower(), "body": frame.body.hex()}
    assert isinstance(frame, Welcome | Ack)
    return {"kind": type(frame).__name__.lower(), "message": plain(frame)}


def encoded(operation: Case) -> bytes:
    kind, body = operation["kind"], bytes.fromhex(operation.get("body", ""))
    message = dict(operation.get("message", {}))
    if kind == "pub":
        event, command = message.pop("event", None), message.pop("cmd", None)
        payload = filled(event, Event()) if command is None else filled(command, Command())
        return frames.encode_pub(filled(message, Envelope()), payload_field(payload))
    kinds: dict[str, type[Message]] = {
        "sub": Subscribe,
        "unsub": Unsubscribe,
        "refresh": Refresh,
    }
    whole = filled(message, kinds[kind]()) if kind in kinds else body
    return frames.frame_of(getattr(frames, kind.upper()), whole)


def written(kind: str, value: Case) -> bytes:
    """The body of a server's frame by Protobuf's own encoder, which must agree with ours."""
    kinds: dict[str, type[Message]] = {
        "welcome": Welcome,
        "msg": Envelope,
        "ack": Ack,
    }
    return cast("Message", filled(value, kinds[kind]())).SerializeToString(deterministic=True)


def run_frame(case: Case) -> None:
    data = bytes.fromhex(case["hex"])
    if case["direction"] == "client":
        assert encoded(case["operation"]).hex() == case["hex"]
        return
    expect = case["expect"]
    assert plain_frame(data) == expect
    if "message" in expect and expect["kind"] != "err" and case.get("canonical", True):
        assert written(expect["kind"], expect["message"]) == data[1:]


def run_envelope(case: Case) -> None:
    data, expect = bytes.fromhex(case["hex"]), case["expect"]
    event = Event(data=data, content_type=case["content_type"])
    message = message_of(Envelope(room_id="lobby", event=event))
    assert (message.raw, message.content_type) == (data, case["content_type"])
    assert message.data == decode_data(data, case["content_type"])
    if expect["as"] in ("bytes", "invalid"):
        assert type(message.data) is bytes
        assert message.data == data
        return
    assert json.dumps(message.data) == json.dumps(expect["value"])


def reacts(reaction: Reaction, expect: Case) -> None:
    assert reaction.reconnect == expect["reconnect"]
    assert reaction.new_token == expect["fresh_token"]


def run_error(case: Case) -> None:
    expect = case["expect"]
    if case["kind"] == "reason":
        entry = ERRORS[case["name"]]
        known = (entry.number, entry.code, entry.client)
        assert known == (case["number"], case["code"], expect["client"])
        reacts(refusal_reaction(error_of(case["name"])), expect)
        return
    error = error_from_wire(**case["refusal"])
    assert (error.room, error.action) == (expect.get("room", ""), expect.get("action", ""))
    assert (error.reason, error.retry_after_ms) == (expect["reason"], expect["retry_after_ms"])
    assert error.code == expect.get("code", error.code)
    assert expect.get("says", "") in error.message
    reacts(refusal_reaction(error), expect)


def run_close(case: Case) -> None:
    expect, last = case["expect"], case.get("last_error")
    error = None if last is None else error_of(**last)
    reaction = close_reaction(case["code"], case["reason"], error)
    outcome = None if reaction.error is None else reaction.error.reason
    again = "spread" if reaction.spread_ms > 0 else "backoff"
    assert outcome == expect["error"]
    assert (again if reaction.reconnect else "stop") == expect["action"]
    assert reaction.spread_ms == expect.get("spread_ms", 0)
    assert reaction.floor_ms == expect.get("floor_ms", 0)
    assert reaction.new_token == expect.get("fresh_token", False)


def run_backoff(case: Case) -> None:
    bounds = Backoff(case["base_ms"], case["max_ms"])
    if case["default"]:
        assert bounds == Backoff()
    delays: list[int] = []
    for number in case["random"]:
        attempt = case["first_attempt"] + len(delays)
        delays.append(backoff_delay_ms(attempt, bounds, iter([number]).__next__))
    assert delays == case["delays_ms"]


async def _run_presence(case: Case) -> None:
    table = MemberTable()
    for step in case["steps"]:
        if "ack" in step:
            table.begin(step["ack"], "next" in step)
        elif "lost" in step:
            table.lost()
        elif "refused" in step:
            with pytest.raises((MalformedFrame, ValueError)):
                table.hear(step["event"], bytes.fromhex(step["hex"]))
        else:
            table.hear(step["event"], bytes.fromhex(step["hex"]))
    members = [vars(table.members[key]) for key in sorted(table.members)]
    assert {"members": members, "users": table.users, "complete": table.complete} == case["expect"]
    table.lost()


def run_presence(case: Case) -> None:
    asyncio.run(_run_presence(case))


class Subscribed:
    """A session, compared by identity, with the positions of its open SUBs."""

    def __init__(self) -> None:
        self.asked: list[arqon.Position | None] = []


class PositionSteps:
    """Does the steps of a place in a durable room, and compares its state after each."""

    def __init__(self, begins: Case) -> None:
        start = begins.get("position")
        self.place = Place(start and arqon.Position(**start), begins.get("no_echo", False))
        self.place.reading = begins.get("reading", False)
        self._sessions: dict[str, Subscribed] = {}
        self._reading: Reading | None = None

    def step(self, step: Case) -> None:
        place = self.place
        name = step.get("sub") or step.get("ack") or step.get("on") or ""
        session = self._sessions.setdefault(name, Subscribed())
        if "sub" in step:
            asked = place.asked(session)
            session.asked.append(asked)
            assert (asked and [asked.offset, asked.epoch]) == step["asks"]
        elif "ack" in step:
            asked = session.asked.pop(0)
            reported = place.accepted(session, asked, step["offset"], step["answer"])
            assert reported == step["tells"]
        elif "message" in step:
            assert (place.follows(session) and place.deliver(step["message"])) == step["heard"]
        elif "gap" in step:
            assert place.gap(session, step["gap"]) == step["heard"]
        elif "begin" in step:
            self._reading = Reading(place, step["begin"], step["kept"])
        elif "page" in step:
            self._page(step)
        elif "read" in step:
            place.read(step["read"], step["epoch"], step["more"])
        elif "stored" in step:
            assert place.deliver(step["stored"]) == step["heard"]
        elif "published" in step:
            place.published(step["published"])
        else:
            assert step == {"forget": True}
            place.forget()

    def _page(self, step: Case) -> None:
        messages = [
            arqon.Message(room="r", offset=offset, headers={"X-Twist-ID": id} if id else {})
            for offset, id in step["page"]
        ]
        assert self._reading is not None
        assert self._reading.after == step["after"]
        taken = self._reading.take(arqon.History(messages, 0, step["epoch"], step["more"]))
        delivered = [m.offset for m in messages if taken and self.place.deliver(m.offset)]
        assert (delivered if taken else None) == step["heard"]


def run_position(case: Case) -> None:
    steps = PositionSteps(case.get("begins", {}))
    for step in case["steps"]:
        steps.step(step)
    position, expect = steps.place.position, case["expect"]
    wanted = expect["position"] and arqon.Position(**expect["position"])
    found = position, steps.place.epoch, steps.place.recovered
    assert found == (wanted, expect["epoch"], expect["recovered"])


def run_delta(case: Case) -> None:
    if case["kind"] in ("diff", "vcdiff"):
        apply = apply_fossil if case["kind"] == "diff" else apply_vcdiff
        base, diff = bytes.fromhex(case["base"]), bytes.fromhex(case["diff"])
        made = apply(base, diff, case["bytes_max"])
        assert (None if made is None else made.hex()) == case["expect"]
        return
    deltas = DeltaBases(case.get("bytes_max", 1_000_000))
    for step in case["steps"]:
        if "sub" in step:
            deltas.begin(step["sub"])
        elif "unsub" in step:
            deltas.end(step["unsub"])
        else:
            assert plain_frame(bytes.fromhex(step["hex"]), deltas) == step["expect"]


class LogServer:
    """Serves the present state of a log over HTTP."""

    log: Case

    async def __aenter__(self) -> LogServer:
        self._tasks: set[asyncio.Task[None]] = set()
        self.paths: list[str] = []
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/log"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            await self._answer_all(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (asked := (await reader.readline()).decode()) != "":
            while await reader.readline() != b"\r\n":
                pass
            status, body = 404, b"none"
            path = asked.split(" ")[1][len("/log/") :]
            self.paths.append(path)
            if self.log["refusals"] > 0:
                self.log["refusals"] -= 1
                status, body = 503, b'{"retry_after_ms":1}'
            elif (found := self.log["files"].get(path)) is not None:
                status, body = 200, bytes.fromhex(found)
            head = f"HTTP/1.1 {status} .\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)


PROOF_OPTIONS: Final = ("vkeys", "witnesses", "quorum", "wait_ms", "complete")


def run_proof(case: Case) -> None:
    asyncio.run(_run_proof(case))


async def _run_proof(case: Case) -> None:
    options, logs, expect = case["options"], case["logs"], case["expect"]
    terms = {name: options[name] for name in PROOF_OPTIONS}
    offsets: list[int] = []
    wrong: Exception | None = None
    message: arqon.Message | None = None
    async with LogServer() as server:
        verified = arqon.VerifiedLog(server.url, terms, checkpoint=options["checkpoint"])
        for at, one in enumerate(case["messages"]):
            if at < len(logs):
                server.log = {**logs[at]}
            frame = decode_server_frame(b"\x04" + bytes.fromhex(one["hex"]), True)
            assert isinstance(frame, list)
            message = message_of(frame[0], one["epoch"], True)
            try:
                await verified.hold(message)
            except (LogError, ProofError) as error:
                wrong = error
                break
            offsets.append(message.offset)
        verified.files.close()
    assert offsets == expect["offsets"], wrong
    proven = wrong if isinstance(wrong, ProofError) else None
    assert (proven and proven.kind) == expect.get("kind"), wrong
    assert expect.get("error", "") in str(wrong)
    assert (wrong is None) == ("kind" not in expect and "error" not in expect), wrong
    if proven is not None:
        is_of_one = proven.kind in ("changed", "gap", "missing")
        assert proven.evidence.message is (message if is_of_one else None)
    if proven is not None and "entry" in expect:
        assert proven.evidence.entry == expect["entry"]
    if proven is not None and "checkpoints" in expect:
        assert len(proven.evidence.checkpoints) == expect["checkpoints"]
    if "bundles" in expect:
        last = len(server.paths) - server.paths[::-1].index("tile/entries/000") - 1
        read = [path for path in server.paths[last:] if path.startswith("tile/entries/")]
        assert len(read) == expect["bundles"]


VECTOR_RUNNERS: Final[dict[str, Callable[[Case], None]]] = {
    "backoff.json": run_backoff,
    "close_codes.json": run_close,
    "deltas.json": run_delta,
    "envelopes.json": run_envelope,
    "errors.json": run_error,
    "frames.json": run_frame,
    "positions.json": run_position,
    "presence.json": run_presence,
    "proofs.json": run_proof,
}
