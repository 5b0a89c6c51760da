"""The SDK against a real bus: publish, subscribe, refusals, state, locks, presence, history."""

from __future__ import annotations

import asyncio
import base64
from uuid import uuid4

import pytest
from bus import Bus
from waits import until

import arqon


async def test_publish_and_subscribe(bus: Bus, room_id: str) -> None:
    async with (
        arqon.connect(bus.url, token=bus.token("ann")) as ann,
        arqon.connect(bus.url, token=bus.token("bob")) as bob,
        bob.room(room_id) as sub,
    ):
        assert (ann.user_id, ann.tenant_id) == ("ann", "default")
        room = ann.room(room_id)
        await room.publish("chat", {"text": "hello"}, headers={"x-key": "v"}, message_id="m1")
        await room.publish("note", "plain")
        await room.publish("blob", b"\x00\xff")
        first, second, third = [await anext(sub) for _ in range(3)]
        assert (first.type, first.data, first.sender) == ("chat", {"text": "hello"}, "ann")
        assert first.message_id == "m1"
        assert first.headers["x-key"] == "v"
        assert len(first.trace_id) == 32
        assert first.timestamp_ms > 1_700_000_000_000
        assert (second.data, second.content_type) == ("plain", "text/plain")
        assert third.data == b"\x00\xff"


async def test_refusals_by_reason(bus: Bus, room_id: str) -> None:
    errors: list[arqon.ArqonError] = []
    grants = [{"room": "mine", "actions": ["publish", "subscribe"]}]
    async with arqon.connect(bus.url, token=bus.token(), on_error=errors.append) as client:
        with pytest.raises(arqon.InvalidRoom):
            client.room("a.b")
        room = client.room(room_id)
        with pytest.raises(arqon.ReservedType) as refused:
            await room.publish("SYSTEM_X")
        assert refused.value.code == 403
        assert refused.value.reason == "reserved-type"
        assert not refused.value.retryable
        with pytest.raises(arqon.InvalidCommand):
            await room.command("room.nothing")
        with pytest.raises(arqon.MessageTooLarge):
            await room.publish("x", bytes(300_000))
        with pytest.raises(arqon.InvalidField, match="trace_id"):
            await room.publish("x", trace_id="nonsense")
        with pytest.raises(arqon.InvalidField, match="type"):
            await room.publish("x" * 257)
        with pytest.raises(arqon.TooManyHeaders):
            await room.publish("x", headers={str(n): "" for n in range(65)})
        with pytest.raises(arqon.RepeatedField):
            await room.publish("x", headers={"a": "", "A": ""})
        with pytest.raises(arqon.CommandForbidden):
            await room.kick(user_id="ann")
        await room.publish("SYSTEM_X", ack=False)
        await room.count()
        assert [error.reason for error in errors] == ["reserved-type"]
        with pytest.raises(arqon.NotDurable):
            await room.history()
    async with arqon.connect(bus.url, token=bus.token(grants=grants)) as client:
        with pytest.raises(arqon.NotGranted):
            async with client.room(room_id):
                raise AssertionError("not reached")


async def test_state_with_version_conflict(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        state = client.room(room_id).state
        assert not (await state.get("topic")).exists
        first = await state.set("topic", "tea")
        second = await state.set("topic", {"cup": 2}, expect_version=first.version)
        assert second.version == first.version + 1
        with pytest.raises(arqon.VersionConflict) as conflict:
            await state.set("topic", "coffee", expect_version=first.version)
        assert conflict.value.code == 409
        value = await state.get("topic")
        assert (value.value, value.exists, value.version) == ({"cup": 2}, True, second.version)
        await state.delete("topic")
        assert (await state.get_all()).state == {}


async def test_lock_is_renewed_and_excludes(bus: Bus, room_id: str, no_pauses: list[float]) -> None:
    async with (
        arqon.connect(bus.url, token=bus.token("ann")) as ann,
        arqon.connect(bus.url, token=bus.token("bob")) as bob,
    ):
        state = bob.room(room_id).state
        async with ann.room(room_id).state.lock(ttl_ms=90_000) as lock:
            granted_ms = lock.until_ms
            await until("the lock is renewed", lambda: lock.until_ms != granted_ms)
            assert all(27 <= seconds <= 30 for seconds in no_pauses), "a third of the lease"
            assert not lock.lost.is_set()
            with pytest.raises(arqon.Locked) as locked:
                await state.set("k", 1)
            assert locked.value.retry_after_ms > 0
            await ann.room(room_id).state.set("k", 2, fence=lock.fence)
        await state.set("k", 3)
        with pytest.raises(arqon.FenceMismatch):
            await ann.room(room_id).state.set("k", 4, fence=lock.fence)


async def test_presence(bus: Bus, room_id: str) -> None:
    async with (
        arqon.connect(bus.url, token=bus.token("ann")) as ann,
        arqon.connect(bus.url, token=bus.token("bob")) as bob,
        ann.room(room_id, presence=True, member_meta={"status": "here"}) as seen,
    ):
        assert [(m.user_id, m.meta) for m in seen.members()] == [("ann", {"status": "here"})]
        changes = seen.presence()
        assert await anext(changes) == arqon.PresenceChange("join", seen.members()[0])
        following = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        async with (
            bob.room(room_id, presence=True) as other,
            arqon.connect(bus.url, token=bus.token("bob")) as twin,
            twin.room(room_id, presence=True) as third,
        ):
            joined = await following
            assert (joined.kind, joined.member.user_id) == ("join", "bob")
            assert (await anext(changes)).kind == "join"
            assert third.member_count() == arqon.MemberCount(connections=3, users=2)
            await other.update_meta({"status": "away"})
            changed = await anext(changes)
            assert (changed.kind, changed.member.meta) == ("update", {"status": "away"})
            assert (await ann.room(room_id).count()).users == 2
            listed = [member.user_id async for member in ann.room(room_id).list_members()]
            assert sorted(listed) == ["ann", "bob", "bob"]
        left = [await anext(changes) for _ in range(2)]
        assert [(change.kind, change.member.user_id) for change in left] == [("leave", "bob")] * 2
        assert seen.member_count() == arqon.MemberCount(connections=1, users=1)
        await changes.aclose()


async def test_history_of_a_durable_room(bus: Bus) -> None:
    room_id = f"durable-{uuid4().hex[:8]}"
    async with arqon.connect(bus.url, token=bus.token()) as client:
        room = client.room(room_id)
        offsets = [await room.publish("n", n) for n in range(5)]
        assert offsets == sorted(set(offsets))
        page = await room.history(limit=2, reverse=True)
        assert [message.data for message in page.messages] == [4, 3]
        assert page.more
        rest = await room.history(after=offsets[2])
        assert [message.offset for message in rest.messages] == offsets[3:]
        start = arqon.Position(offsets[1], page.epoch)
        async with client.room(room_id, position=start) as sub:
            assert [(await anext(sub)).data for _ in range(3)] == [2, 3, 4]
            assert sub.recovered
            assert sub.position == arqon.Position(offsets[4], page.epoch)


async def test_signed_messages_are_verified(bus: Bus, room_id: str) -> None:
    signer = arqon.ed25519_key(bytes(range(32)))
    other = arqon.ed25519_key(bytes(32))
    public = base64.urlsafe_b64encode(signer.public_key().public_bytes_raw()).rstrip(b"=").decode()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": public}
    token = bus.token(cnf={"jwk": jwk})
    async with (
        arqon.connect(bus.url, token=token, signer=signer) as good,
        arqon.connect(bus.url, token=token, signer=other) as bad,
        arqon.connect(bus.url, token=bus.token(), signer=signer) as keyless,
        good.room(room_id) as sub,
    ):
        await good.room(room_id).publish("pay", {"amount": 5}, message_id="m1")
        await good.room(room_id).state.set("k", 1)
        assert (await anext(sub)).data == {"amount": 5}
        with pytest.raises(arqon.SignatureInvalid):
            await bad.room(room_id).publish("pay", {"amount": 6})
        with pytest.raises(arqon.SignatureNoKey):
            await keyless.room(room_id).publish("pay")


async def test_filter_live_and_stored(bus: Bus) -> None:
    room_id = f"durable-{uuid4().hex[:8]}"
    wanted = "int(data) % 2 == 1"
    async with (
        arqon.connect(bus.url, token=bus.token("ann")) as ann,
        arqon.connect(bus.url, token=bus.token("bob")) as bob,
    ):
        async with bob.room(room_id, filter=wanted) as odd:
            for number in range(6):
                await ann.room(room_id).publish("n", number)
            assert [(await anext(odd)).data for _ in range(3)] == [1, 3, 5]
        async with bob.room(room_id, filter=wanted, last=2) as odd:
            assert [(await anext(odd)).data for _ in range(2)] == [3, 5]
        page = await bob.room(room_id).history(filter=wanted)
        assert [message.data for message in page.messages] == [1, 3, 5]
        with pytest.raises(arqon.InvalidFilter):
            async with bob.room(room_id, filter="data >"):
                pass
