"""Optimistic calls: guesses with answers and changes in any order, and calls on a bus."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bus import Bus
from peer import TOKEN, Peer, ack, requests, signal
from waits import until
from websockets.asyncio.server import ServerConnection

import arqon
from arqon._gen import Envelope, Subscribe
from arqon.optimistic import GuessedCall, Rebase, ReducerGuest, optimistic
from arqon.reducers import Changes, Value, put

_BUILT = Path(__file__).resolve().parents[3] / "policies/build/reducers"
_AUCTION = (_BUILT / "auction.wasm").read_bytes()


def _asked(command: str, data: str, user: str = "ann", now_ms: int = 1_000) -> GuessedCall:
    return GuessedCall(command, data.encode(), "", user, "user", {}, "r", now_ms)


def test_a_module_guesses_its_changes_and_its_refusals() -> None:
    """It guesses from the known values. Bytes that are not a reducer are refused."""
    guest = ReducerGuest(_AUCTION)
    opened = guest.guess(_asked("open", "60000"), {}, 1)
    assert opened == {"state": "open", "seller": "ann", "closes_ms": "61000"}
    values: dict[str, Value] = {}
    put(values, opened or {})
    assert guest.guess(_asked("bid", "7", "bob"), values, 2) == {"highest": "7", "bidder": "bob"}
    assert guest.guess(_asked("bid", "7", "ann"), values, 2) is None, "the seller does not bid"
    assert guest.guess(_asked("bid", "x", "bob"), values, 2) is None
    assert guest.guess(_asked("nothing", ""), values, 2) is None
    for other in (b"no module", b"\0asm\1\0\0\0"):
        with pytest.raises(ValueError, match="module"):
            ReducerGuest(other)


def test_a_module_sees_values_in_the_order_of_their_keys_and_an_endless_one_ends() -> None:
    """The counter removes the keys with a prefix."""
    counter = ReducerGuest((_BUILT / "counter.wasm").read_bytes())
    values: dict[str, Value] = {"total": "9", "user/b": "4", "user/a": "5", "users": "1"}
    asked = GuessedCall("reset", b"", "", "root", "admin", {}, "r", 1_000)
    assert counter.guess(asked, values, 1) == {"user/a": None, "user/b": None, "total": None}


def test_a_change_before_the_answer_counts_once() -> None:
    """A change, also of another client, waits for the answer of the call that may have made it."""
    counter = ReducerGuest((_BUILT / "counter.wasm").read_bytes())
    rebase = Rebase()
    assert rebase.confirmed(1, {"total": "10"}) == {"total": "10"}
    number, changes = rebase.call(lambda known: counter.guess(_asked("add", "1"), known, 2))
    assert changes["total"] == "11"
    assert rebase.confirmed(2, {"total": "11"}) == {}
    assert (rebase.values["total"], rebase.version) == ("11", 1)
    rebase.answered(number, 2)
    assert (rebase.values["total"], rebase.version, rebase.pending) == ("11", 2, 0)
    number, _ = rebase.call(lambda known: counter.guess(_asked("add", "1"), known, 3))
    assert rebase.answered(number, None) == {"total": "11", "user/ann": None}, "it was refused"


@dataclass
class _Client:
    """A client with its pending calls, answers and changes."""

    user: str
    rebase: Rebase = field(default_factory=Rebase)
    calls: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    answers: list[tuple[int, int | None]] = field(default_factory=list[tuple[int, int | None]])
    received: list[tuple[int, Changes]] = field(default_factory=list[tuple[int, Changes]])


class _World:
    """A room with a module and three clients. The order of deliveries is random."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.guest = ReducerGuest(_AUCTION)
        self.values: dict[str, Value] = {}
        self.offset = 0
        self.clients = [_Client(user) for user in ("ann", "bob", "cid")]

    def call(self, client: _Client) -> None:
        amount = self.chance.randint(0, 40)
        name, data = ("open", "60000") if amount < 5 else ("bid", str(amount))
        # Their clock differs from the room's.
        asked = _asked(name, data, client.user, 5_000)
        number, _ = client.rebase.call(lambda values: self.guest.guess(asked, values, 1))
        client.calls.append((number, amount))

    def order(self, client: _Client) -> None:
        if not client.calls:
            return
        number, amount = client.calls.pop(0)
        name, data = ("open", "60000") if amount < 5 else ("bid", str(amount))
        self.offset += 1
        changes = self.guest.guess(_asked(name, data, client.user), self.values, self.offset) or {}
        client.answers.append((number, self.offset if changes else None))
        put(self.values, changes)
        for one in self.clients if changes else []:
            one.received.append((self.offset, changes))

    def answer(self, client: _Client) -> None:
        if client.answers:
            client.rebase.answered(*client.answers.pop(0))

    def hear(self, client: _Client) -> None:
        if client.received:
            client.rebase.confirmed(*client.received.pop(0))


@pytest.mark.parametrize("seed", range(20))
def test_all_clients_converge_to_the_state_of_the_room(seed: int) -> None:
    """Calls, answers and changes arrive in a random order."""
    world = _World(seed)
    steps = (world.call, world.order, world.order, world.answer, world.hear)
    for _ in range(40):
        world.chance.choice(steps)(world.chance.choice(world.clients))
    while any(one.calls or one.answers or one.received for one in world.clients):
        world.chance.choice(steps[1:])(world.chance.choice(world.clients))
    for client in world.clients:
        assert (client.rebase.pending, client.rebase.values) == (0, world.values)


async def test_a_call_is_seen_before_the_room_has_answered(bus: Bus) -> None:
    """A call that the room refuses is undone."""
    received: list[Changes] = []
    async with (
        arqon.connect(bus.url, token=bus.token("ann"), request_timeout_ms=60_000) as ann,
        arqon.connect(bus.url, token=bus.token("bob"), request_timeout_ms=60_000) as bob,
        optimistic(ann.room("auction-1"), _AUCTION, user="ann") as anns,
        # This client gets the module from the bus.
        optimistic(bob.room("auction-1"), user="bob", on_change=received.append) as bobs,
    ):
        opened = anns.call("open", 3_600_000)
        assert anns.read("state") == "open"
        await opened
        await until("bob has the state", lambda: bobs.read("state") is not None)
        bid = bobs.call("bid", 100)
        assert (bobs.read("highest"), bobs.watched.read("highest")) == ("100", None)
        assert (await bid).answer == 100
        own = anns.call("bid", 200)
        assert anns.read("bidder") != "ann"
        with pytest.raises(arqon.CallRejected):
            await own
        await until(
            "both have the bid", lambda: anns.read("highest") == "100" and bobs.pending == 0
        )
        assert anns.entries() == bobs.entries()
        bids = [one["highest"] for one in received if "highest" in one]
        assert bids == ["100"], "a right guess is not reported again"


async def test_a_prediction_has_the_bytes_that_the_room_gets(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        arqon.connect(bus.url, token=bus.token("ann"), request_timeout_ms=60_000) as ann,
        optimistic(ann.room("auction-bytes"), _AUCTION) as room,
    ):
        guessed: list[bytes] = []
        monkeypatch.setattr(
            ReducerGuest, "guess", lambda _self, asked, *_: guessed.append(asked.data)
        )
        with pytest.raises(arqon.CallRejected):
            await room.call("bid", {"é": [1.0, None]})
        assert guessed[0].decode() == '{"é":[1.0,null]}'


@pytest.mark.parametrize("kind", ["DISCONNECT", "BAN"])
async def test_a_kick_or_a_ban_withdraws_predictions_and_refuses_calls(kind: str) -> None:
    """The first call is answered, but its changes never arrive; the second has no answer."""
    calls: list[int] = []
    sockets: list[ServerConnection] = []

    async def script(_: Peer, socket: ServerConnection) -> None:
        sockets.append(socket)
        async for request in requests(socket):
            if isinstance(request, Subscribe):
                await socket.send(ack(request.request_id))
            elif isinstance(request, Envelope) and request.cmd.name == "room.values":
                values = b'{"scope":"s","version":1,"values":[]}'
                await socket.send(ack(request.request_id, result=values))
            elif isinstance(request, Envelope) and request.cmd.name == "room.call":
                calls.append(request.request_id)
                if len(calls) == 1:
                    answer = b'{"entry":2,"visible":true,"answer":1}'
                    await socket.send(ack(request.request_id, result=answer))

    counter = (_BUILT / "counter.wasm").read_bytes()
    reason = "room-banned" if kind == "BAN" else "disconnected"
    async with (
        Peer(script) as peer,
        arqon.connect(peer.url, token=TOKEN) as bus,
        optimistic(bus.room("lobby"), counter, user="ann") as room,
    ):
        await room.call("add", 1)
        under_way = room.call("add", 2)
        assert (room.read("total"), room.pending) == ("3", 2)
        await until("both are sent", lambda: len(calls) == 2)
        await sockets[0].send(signal("lobby~values", kind))
        with pytest.raises(arqon.ArqonError) as refused:
            await asyncio.wait_for(under_way, 60)
        assert refused.value.reason == reason
        assert (room.read("total"), room.pending) == (None, 0)
        with pytest.raises(arqon.ArqonError) as refused:
            await room.call("add", 3)
        assert refused.value.reason == reason
        assert len(calls) == 2, "a later call is not sent"
