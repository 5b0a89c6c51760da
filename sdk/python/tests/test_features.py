"""Further features on a real bus: overflow, offline, events, leases, traces, signers."""

from __future__ import annotations

import asyncio
import copy
import pickle
from base64 import urlsafe_b64encode
from collections.abc import Awaitable

import pytest
from bus import Bus, CuttableProxy
from opentelemetry import trace
from opentelemetry.propagate import inject
from waits import until

import arqon

pytestmark = pytest.mark.usefixtures("nothing_left")
FAST = arqon.Backoff(base_ms=5, max_ms=20)


async def test_slow_consumer_is_notified(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room(room_id, buffer=10) as loop:
            room = client.room(room_id)
            await asyncio.gather(*(room.publish("n", n) for n in range(30)))
            got: list[int] = []
            with pytest.raises(arqon.SlowConsumer):
                async for message in loop:
                    got.append(message.data)
            assert got == list(range(10))


async def test_drop_oldest_leaves_a_gap(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room(room_id, buffer=10, on_overflow="drop-oldest") as loop:
            room = client.room(room_id)
            await asyncio.gather(*(room.publish("n", n) for n in range(30)))
            first = await anext(loop)
            assert first.signal is not None
            dropped = int(first.signal.reason.split()[0])
            rest = [(await anext(loop)).data for _ in range(30 - dropped)]
            assert rest == list(range(dropped, 30))
            assert len(rest) < 10


async def test_a_loop_that_keeps_up_late_gets_everything(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room(room_id, buffer=10) as loop:
            room = client.room(room_id)
            sending = asyncio.gather(*(room.publish("n", n) for n in range(300)))
            for n in range(300):
                assert (await anext(loop)).data == n
                await asyncio.sleep(0)
            await sending


async def test_drop_newest_leaves_a_gap_where_they_were(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        async with client.room(room_id, buffer=10, on_overflow="drop-newest") as loop:
            room = client.room(room_id)
            await asyncio.gather(*(room.publish("n", n) for n in range(30)))
            got = [(await anext(loop)).data for _ in range(10)]
            assert got == list(range(10))
            gap = await anext(loop)
            assert gap.signal is not None
            assert gap.signal.reason == "20 messages dropped here"
            await room.publish("n", 30)
            assert (await anext(loop)).data == 30


async def test_a_buffer_is_bounded_in_bytes_too(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        for policy, expected in (
            ("drop-newest", [0, 1, 2, "GAP"]),
            ("drop-oldest", ["GAP", 7, 8, 9]),
        ):
            loop = client.room(room_id, buffer_bytes=3_500, on_overflow=policy)  # type: ignore[arg-type]
            async with loop:
                for n in range(10):
                    await client.room(room_id).publish("n", bytes((n,)) * 1_000)
                got = [await anext(loop) for _ in expected]
            assert [m.raw[0] if m.raw else "GAP" for m in got] == expected
        async with client.room(room_id, buffer_bytes=1) as loop:
            await client.room(room_id).publish("n", bytes(5_000))
            assert len((await anext(loop)).raw) == 5_000, "one is accepted at any size"


async def state_is(client: arqon.Connection, *states: str) -> None:
    await until(f"a state of {states}", lambda: client.status.state in states)


async def test_offline_refuse(bus: Bus, room_id: str) -> None:
    async with (
        CuttableProxy(bus.port) as proxy,
        arqon.connect(proxy.url, token=bus.token(), backoff=FAST, offline="refuse") as client,
    ):
        room = client.room(room_id)
        await room.publish("x")
        proxy.refuse = True
        proxy.cut()
        await state_is(client, "waiting", "connecting")
        for use in (room.publish("x", message_id="m"), room.state.get("k"), room.count()):
            with pytest.raises(arqon.ConnectionLost, match="offline"):
                await use
        proxy.refuse = False
        await state_is(client, "open")
        await room.publish("x")
    with pytest.raises(ValueError, match="offline"):
        arqon.connect(bus.url, token=bus.token(), offline="drop")  # type: ignore[arg-type]


async def test_a_lease_is_renewed_by_hand(bus: Bus, room_id: str) -> None:
    async with (
        arqon.connect(bus.url, token=bus.token("ann")) as client,
        arqon.connect(bus.url, token=bus.token("bob")) as other,
    ):
        state, of_other = client.room(room_id).state, other.room(room_id).state
        lease = await state.acquire_lock(ttl_ms=30_000)
        again = await state.acquire_lock(ttl_ms=60_000, fence=lease.fence)
        assert again.fence == lease.fence
        assert again.until_ms > lease.until_ms
        with pytest.raises(arqon.Locked) as locked:
            await of_other.acquire_lock()
        assert locked.value.retry_after_ms > 30_000
        with pytest.raises(arqon.Locked):
            async with of_other.lock():
                raise AssertionError("not reached")
        after = await state.unlock(lease.fence)
        assert after.version > lease.version
        with pytest.raises(arqon.FenceMismatch):
            await state.unlock(lease.fence)


@pytest.mark.usefixtures("no_pauses")
async def test_a_lost_lock_is_reported(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token()) as client:
        state = client.room(room_id).state
        async with state.lock(ttl_ms=60_000) as lock:
            await state.unlock(lock.fence)
            await lock.lost.wait()
            assert isinstance(lock.error, arqon.FenceMismatch)


async def test_a_lock_ends_with_its_connection(bus: Bus, room_id: str) -> None:
    client = await arqon.connect(bus.url, token=bus.token())
    async with client.room(room_id).state.lock(ttl_ms=300) as lock:
        await client.close()
        await asyncio.wait_for(lock.lost.wait(), 60)


async def test_events_after_a_version(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token("ann")) as client:
        state = client.room(room_id).state
        first = await state.set("a", 1)
        await state.set("a", 2, command_id="c1")
        await state.set("a", 2, command_id="c1")
        await state.delete("a")
        snapshot = await state.get_all(events_after=first.version)
        assert snapshot.events is not None
        changes = [(e.op, e.by, e.told.get("key"), e.told.get("value")) for e in snapshot.events]
        assert changes == [("set", "ann", "a", 2), ("delete", "ann", "a", None)]
        assert (await state.get("a")).events is None
        assert (await state.get("a", events_after=snapshot.version)).events == []


async def test_moderation_answers_the_version(bus: Bus, room_id: str) -> None:
    async with arqon.connect(bus.url, token=bus.token("root", role="admin")) as root:
        room = root.room(room_id)
        banned = await room.ban("mallory", scope="room", ttl_ms=60_000, reason="spam")
        assert banned.version > 0
        assert (await room.unban("mallory", scope="room")).version > banned.version
        assert (await room.kick(user_id="mallory")).epoch == banned.epoch


def active_traceparent() -> str | None:
    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent")


async def test_the_active_span_of_opentelemetry(bus: Bus, room_id: str) -> None:
    context = trace.SpanContext(0xABC, 0xDEF, False, trace.TraceFlags(1))
    async with (
        arqon.connect(bus.url, token=bus.token(), traceparent=active_traceparent) as client,
        client.room(room_id) as loop,
    ):
        with trace.use_span(trace.NonRecordingSpan(context)):
            await client.room(room_id).publish("x")
        inside = await anext(loop)
        assert inside.trace_id == f"{0xABC:032x}"
        assert inside.headers["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
        await client.room(room_id).publish("x")
        assert (await anext(loop)).trace_id not in ("", inside.trace_id)


class SlowSigner:
    """A remote key: earlier signatures take longer than later ones."""

    def __init__(self) -> None:
        self.key = arqon.ed25519_key(bytes(range(32)))
        self.asked = 0
        self.fault: BaseException | bytes | None = None

    def sign(self, data: bytes, /) -> Awaitable[bytes]:
        self.asked += 1
        return self._sign(data, 0.05 / self.asked)

    async def _sign(self, data: bytes, wait_seconds: float) -> bytes:
        fault, self.fault = self.fault, None
        if fault == b"hang":
            await asyncio.Event().wait()
        await asyncio.sleep(wait_seconds)
        if isinstance(fault, BaseException):
            raise fault
        return self.key.sign(data) if fault is None else fault


async def test_signers_that_take_their_time_fail_or_hang(bus: Bus, room_id: str) -> None:
    signer = SlowSigner()
    x = urlsafe_b64encode(signer.key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    token = bus.token(cnf={"jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}})
    async with (
        arqon.connect(bus.url, token=token, signer=signer) as client,
        client.room(room_id) as loop,
    ):
        room = client.room(room_id)
        sending = [asyncio.ensure_future(room.publish("n", n)) for n in range(10)]
        await asyncio.sleep(0)
        sending[3].cancel()
        got = [(await anext(loop)).data for _ in range(9)]
        assert got == [0, 1, 2, 4, 5, 6, 7, 8, 9], "in order, although the last was signed first"
        await asyncio.gather(*sending, return_exceptions=True)
        for fault in (OSError("no key"), asyncio.CancelledError(), b"short"):
            signer.fault = fault
            with pytest.raises(arqon.SigningFailed):
                await room.publish("n", "never")
        signer.fault = b"hang"
        hanging = asyncio.ensure_future(room.publish("n", "never", timeout_ms=50))
        await asyncio.sleep(0)
        behind = asyncio.ensure_future(room.publish("n", "behind"))
        with pytest.raises(arqon.AnswerTimeout):
            await hanging
        await behind
        assert (await anext(loop)).data == "behind"
        assert client._driver.outbox._queue == []


def test_errors_are_copied_and_pickled_whole() -> None:
    error = arqon.errors.error_from_wire(
        451,
        "policy-rejected",
        "Message blocked by policy: x",
        9,
        room_id="lobby",
        action="publish",
    )
    error.trace_id, error.connection_id = "t1", "c1"
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error)), error.again()):
        assert type(twin) is type(error)
        assert (str(twin), twin.message) == (str(error), error.message)
        assert (twin.code, twin.retry_after_ms) == (451, 9)
        assert (twin.room, twin.action) == ("lobby", "publish")
        assert (twin.trace_id, twin.connection_id) == ("t1", "c1")
