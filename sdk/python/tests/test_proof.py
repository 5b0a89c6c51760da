"""`verify` of a room on a real bus; `proofs.json` of the conformance vectors has logs that lie."""

from __future__ import annotations

import asyncio
import sys
import urllib.request
from base64 import b64decode
from hashlib import sha256
from typing import Any

import pytest
from bus import Bus, CuttableProxy
from vector_driver import VECTORS

import arqon
from arqon._proof import merkle
from arqon._proof.notes import Checkpoint, Key
from arqon.proof import Proof

VKEYS = VECTORS["proofs.json"]["cases"][0]["options"]["vkeys"]


@pytest.fixture(scope="module")
def vkey(bus: Bus) -> str:
    """The key of the tenant, as a reader has it from another room."""
    with arqon.connect_sync(bus.url, token=bus.token()) as client:
        client.publish("proven-key", "t", {"n": 0})
    with urllib.request.urlopen(f"{bus.http_url}/v1/proof/default.proven-key/key") as answer:
        return str(answer.read().decode().split("\n")[0])


async def test_messages_are_verified(bus: Bus, vkey: str, room_id: str, nothing_left: None) -> None:
    async with arqon.connect(bus.url, token=bus.token(), proof={"vkeys": [vkey]}) as client:
        room = client.room(f"proven-{room_id}", verify=True, from_="start")
        sent = await room.publish("t", {"n": 0}, headers=arqon.WITH_RECEIPT)
        assert sent.receipt is not None
        assert f"arqonbus/receipt@v1\nbus.example/default.{room.id}\n" in sent.receipt
        await room.publish("t", {"n": 1}, headers={"b": "1", "a": "2", "7": "3"})
        async with room:
            assert [(await anext(room)).data["n"] for _ in range(2)] == [0, 1]
            await room.publish("t", {"n": 2})
            # A wait that ends too early loses no message.
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(room), 0.01)
            assert (await anext(room)).data == {"n": 2}
        kept = room.checkpoint
        assert kept is not None
        assert kept.startswith(f"bus.example/default.{room.id}\n3\n")
        async with room.subscribe(verify=kept, last=1) as later:
            assert (await anext(later)).data == {"n": 2}


async def test_a_log_at_another_address(
    bus: Bus, vkey: str, room_id: str, nothing_left: None
) -> None:
    name = f"proven-{room_id}"
    own = {"vkeys": [_named(vkey.replace("proven-key", name))]}
    given: dict[str, Any] = {"token": bus.token(), "proof": {"vkeys": [vkey]}}
    async with CuttableProxy(bus.port) as proxy, arqon.connect(bus.url, **given) as client:
        url = f"http{proxy.url[2:]}/v1/proof/default.{name}"
        room = client.room(name, from_="start")
        for n in range(2):
            await room.publish("t", {"n": n}, headers={"b": "1", "a": "2"})
        kept: str | None = None
        # The second one begins at the checkpoint of the first.
        for _ in range(2):
            log = arqon.VerifiedLog(url, own, checkpoint=kept)
            async with room.subscribe(from_="start") as loop:
                messages = log.verify(loop)
                assert [(await anext(messages)).data["n"] for _ in range(2)] == [0, 1]
                await messages.aclose()
            kept = log.checkpoint
            assert kept is not None
            assert kept.startswith(f"bus.example/default.{name}\n2\n")
        other = arqon.VerifiedLog(url, {"vkeys": VKEYS})
        async with room.subscribe(from_="start") as loop:
            with pytest.raises(arqon.LogError, match="no known key has signed it"):
                await anext(other.verify(loop))
    bare = arqon.connect(bus.url, token=bus.token())
    with pytest.raises(ValueError, match="verify needs the option `proof` of connect"):
        await anext(arqon.VerifiedLog(url, own).verify(bare.room(name)))


@pytest.mark.parametrize("complete", [True, False])
async def test_what_the_class_leaves_out_is_no_gap(
    bus: Bus, vkey: str, room_id: str, nothing_left: None, complete: bool
) -> None:
    proof = {"vkeys": [vkey], "complete": complete}
    token = bus.token()
    async with (
        arqon.connect(bus.url, token=token) as other,
        arqon.connect(bus.url, token=token, proof=proof) as client,
        client.room(f"proven-quiet-{room_id}", verify=True) as room,
    ):
        for n, publisher in enumerate([other, client, other]):
            await publisher.room(room.id).publish("t", n)
        assert (await anext(room)).data == 0
        if complete:
            with pytest.raises(arqon.LogError, match="say complete=False"):
                await anext(room)
        else:
            assert (await anext(room)).data == 2


async def test_an_outage_is_no_accusation(
    bus: Bus, vkey: str, room_id: str, nothing_left: None
) -> None:
    name = f"proven-{room_id}"
    proof = {"vkeys": [vkey]}
    token = bus.token()
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(bus.url, token=token) as other,
        arqon.connect(proxy.url, token=token, proof=proof, backoff={"max_ms": 5}) as client,
        client.room(name, verify=True) as room,
    ):
        await other.room(name).publish("t", 0)
        assert (await anext(room)).data == 0
        proxy.refuse = True
        proxy.cut()
        for n in (1, 2):
            await other.room(name).publish("t", n)
        proxy.refuse = False
        assert [(await anext(room)).data for _ in range(2)] == [1, 2]


async def test_a_loop_that_waits_for_the_log_ends_with_its_connection(
    bus: Bus, vkey: str, room_id: str, nothing_left: None
) -> None:
    async with CuttableProxy(bus.port) as proxy:
        proof = Proof([vkey])
        client = await arqon.connect(proxy.url, token=bus.token(), proof=proof)
        room = client.room(f"proven-{room_id}", verify=True, from_="start")
        await room.publish("t", 0)
        async with room:
            proxy.refuse = True
            proxy.cut()
            waiting = asyncio.ensure_future(anext(room, None))
            await asyncio.sleep(0)
            await client.close()
            assert await waiting is None


async def test_a_listener_and_the_sync_face(
    bus: Bus, vkey: str, room_id: str, nothing_left: None
) -> None:
    failed: list[Exception] = []
    other = VKEYS[0].replace("acme.bets", "default.bets")
    strange = {"vkeys": [_named(other)], "wait_ms": 1}
    token = bus.token()
    async with arqon.connect(
        bus.url, token=token, proof=strange, on_error=lambda error: failed.append(error)
    ) as client:
        room = client.room(f"proven-{room_id}", verify=True, from_="start")
        await room.publish("t", 0)
        async with room.listen(lambda message: None) as listener:
            with pytest.raises(arqon.LogError, match="no known key has signed it"):
                await listener.wait_ended()
        assert isinstance(failed[0], arqon.HandlerFailed)
        assert isinstance(failed[0].__cause__, arqon.LogError)

    def read() -> Any:
        with (
            arqon.connect_sync(bus.url, token=token, proof={"vkeys": [vkey]}) as sync,
            sync.subscribe(room.id, verify=True, from_="start") as loop,
        ):
            message = loop.next(60)
            return message and message.data

    assert await asyncio.to_thread(read) == 0


def _root_of(hashes: list[bytes]) -> bytes:
    """As RFC 6962 defines it."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"").digest()
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\1" + _root_of(hashes[:half]) + _root_of(hashes[half:])).digest()


async def _read_all(
    size: int, root: bytes, files: dict[tuple[int | str, int], bytes]
) -> list[bytes]:
    """The roots of a tree's past, once all of its entries are read."""

    async def read(level: int | str, index: int) -> bytes:
        return files[level, index]

    tree = await merkle.Tree.load(Checkpoint("r", size, root, ""), read)
    for index in range(-(-size // 4)):
        assert await tree.entries(index) == [b"%d" % n for n in range(size)][4 * index :][:4]
    return [await tree.root(old) for old in range(size + 1)]


@pytest.mark.parametrize("size", [0, 1, 3, 4, 17, 63, 64, 65, 90])
async def test_a_tree_of_many_levels(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each root of its past is right, and each changed file is found. Tiles have four hashes."""
    monkeypatch.setattr(merkle, "WIDTH", 4)
    monkeypatch.setattr(merkle, "_LEVELS", 2)
    entries = [b"%d" % n for n in range(size)]
    leaves = hashes = [sha256(b"\0" + entry).digest() for entry in entries]
    files: dict[tuple[int | str, int], bytes] = {}
    for at in range(0, size, 4):
        parts = [bytes((0, len(one))) + one for one in entries[at : at + 4]]
        files["entries", at // 4] = b"".join(parts)
    for level in range(4):
        tiles = [hashes[at : at + 4] for at in range(0, len(hashes), 4)]
        files |= {(level, at): b"".join(tile) for at, tile in enumerate(tiles)}
        hashes = [_root_of(tile) for tile in tiles if len(tile) == 4]
    roots = [_root_of(leaves[:old]) for old in range(size + 1)]
    assert await _read_all(size, roots[-1], files) == roots
    for name, content in files.items():
        changed = content[:-1] + bytes((content[-1] ^ 1,))
        with pytest.raises(merkle.DamagedError):
            await _read_all(size, roots[-1], {**files, name: changed})


def _named(vkey: str) -> str:
    """The same public key with the present name of this vkey."""
    name, _, data = vkey.split("+", 2)
    return f"{name}+{Key(name, b64decode(data)[1:]).id.hex()}+{data}"


async def test_what_cannot_be_verified_is_refused(bus: Bus, vkey: str, room_id: str) -> None:
    audit = _named(vkey.replace("default.proven-key", "audit"))
    wrong: list[tuple[Any, str]] = [
        ("x", "proof is 'x'; expected a Proof or a dict"),
        ({}, "proof: .*vkeys"),
        ({"vkeys": []}, "proof.vkeys is empty; expected what `arq proof key` prints"),
        ({"vkeys": vkey}, "proof.vkeys is .*; expected a list of keys"),
        ({"vkeys": ["key"]}, "proof.vkeys has 'key'; expected NAME.ID.KEY"),
        ({"vkeys": [audit]}, "proof.vkeys has bus.example/audit; expected that of a room's log"),
        ({"vkeys": [vkey], "witnesses": ["w"]}, "proof.witnesses has 'w'; expected NAME.ID.KEY"),
        ({"vkeys": [vkey], "quorum": 1}, "proof.quorum is 1, of 0 witnesses"),
        ({"vkeys": [vkey], "wait_ms": -1}, "proof.wait_ms is -1; expected at least 0"),
        ({"vkeys": [vkey], "complete": 1}, "proof.complete is 1; expected True or False"),
        ({"vkeys": [vkey], "witness": "w"}, "proof: .*witness"),
    ]
    token = bus.token()
    for proof, text in wrong:
        with pytest.raises(ValueError, match=text):
            arqon.connect(bus.url, token=token, proof=proof)
    bare = arqon.connect(bus.url, token=token)
    with pytest.raises(ValueError, match="verify needs the option `proof` of connect"):
        bare.room("proven-1", verify=True)
    with pytest.raises(ValueError, match="verify is 5; expected True or a checkpoint"):
        bare.room("proven-1", verify=5)  # type: ignore[arg-type]
    async with arqon.connect(bus.url, token=token, proof={"vkeys": VKEYS}) as strange:
        with pytest.raises(ValueError, match=r"proof\.vkeys has none of tenant default"):
            async with strange.room("proven-1", verify=True):
                pass
    given = {"vkeys": [vkey], "wait_ms": 1}
    async with arqon.connect(bus.url, token=token, proof=given) as client:
        with pytest.raises(ValueError, match="verify is a room's"):
            client.room("proven-*", verify=True)
        room = client.room(f"durable-{room_id}", verify=True, from_="start")
        await room.publish("t", 0)
        async with room:
            with pytest.raises(
                arqon.LogError, match=r"checkpoint: HTTP 404 .*no such transparency"
            ):
                await anext(room)


def test_without_the_extra_it_is_named(vkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(ImportError, match=r"pip install 'arqon-sdk\[proof\]'"):
        Proof([vkey])
