"""The synchronous facade against a real bus."""

from __future__ import annotations

import concurrent.futures
import os
import select
import signal
import threading
import warnings
from uuid import uuid4

import pytest
from bus import Bus

import arqon


def test_publish_and_subscribe(bus: Bus, room_id: str) -> None:
    with arqon.connect_sync(bus.url, token=bus.token()) as client:
        with client.subscribe(room_id) as messages:
            client.publish(room_id, "chat", {"text": "hello"})
            assert next(messages).data == {"text": "hello"}
            with pytest.raises(TimeoutError):
                messages.next(0.05)
            assert client.command(room_id, "room.get")["version"] == 0
        with pytest.raises(arqon.ReservedType):
            client.publish(room_id, "SYSTEM_X")
    client.close()
    with pytest.raises(RuntimeError):
        client.publish(room_id, "x")
    assert all(thread.name != "arqon" for thread in threading.enumerate())


def test_refusal(bus: Bus) -> None:
    with pytest.raises(arqon.TokenExpired):
        arqon.connect_sync(bus.url, token=bus.token(ttl_seconds=-3_600))
    assert all(thread.name != "arqon" for thread in threading.enumerate())


def test_the_calls_of_scripts(bus: Bus) -> None:
    room = f"durable-{uuid4().hex[:8]}"
    with arqon.connect_sync(bus.url, token=bus.token("ann")) as client:
        state = client.state(room)
        first = state.set("k", [1])
        assert state.get("k").value == [1]
        with pytest.raises(arqon.VersionConflict):
            state.delete("k", expect_version=first.version + 5, epoch=first.epoch)
        lease = state.acquire_lock(ttl_ms=10_000)
        state.set("k", 2, fence=lease.fence)
        state.unlock(lease.fence)
        assert state.get_all().state == {"k": 2}
        state.delete("k")
        offsets = [client.publish(room, "n", n) for n in range(3)]
        page = client.history(room, after=offsets[0])
        assert [message.data for message in page.messages if message.type == "n"] == [1, 2]
        assert client.list_members(room) == []
        with client.subscribe(room, presence=True):
            assert [member.user_id for member in client.list_members(room)] == ["ann"]


def test_a_callback_cannot_block_its_own_connection(bus: Bus, room_id: str) -> None:
    errors: list[Exception] = []
    clients: list[arqon.SyncConnection] = []

    def on_error(_: arqon.ArqonError) -> None:
        for use in (lambda: clients[0].publish(room_id, "x"), clients[0].close):
            try:
                use()
            except Exception as error:
                errors.append(error)

    with arqon.connect_sync(bus.url, token=bus.token(), on_error=on_error) as client:
        clients.append(client)
        client.publish(room_id, "SYSTEM_X", ack=False)
        client.command(room_id, "presence.count")
    refusal = "called from a callback of the connection itself, which it blocks"
    assert [str(error) for error in errors] == [refusal] * 2


def test_many_threads_close_while_others_call(bus: Bus, room_id: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            client = arqon.connect_sync(bus.url, token=bus.token())
            calling = [pool.submit(client.publish, room_id, "x") for _ in range(4)]
            closing = [pool.submit(client.close) for _ in range(4)]
            assert [one.result(60) for one in closing] == [None] * 4
            for one in calling:
                error = one.exception(60)
                assert error is None or isinstance(error, (RuntimeError, arqon.ConnectionClosed))
    assert all(thread.name != "arqon" for thread in threading.enumerate())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_process_is_refused_at_once(bus: Bus, room_id: str) -> None:
    with arqon.connect_sync(bus.url, token=bus.token()) as client:
        read_end, write_end = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork in a process with threads, which this tests.
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            for use in (lambda: client.publish(room_id, "x"), client.close):
                try:
                    use()
                    os.write(write_end, b"done;")
                except RuntimeError as error:
                    os.write(write_end, f"{error};".encode())
            os._exit(0)
        os.close(write_end)
        try:
            text = b""
            while select.select([read_end], [], [], 10)[0] and (part := os.read(read_end, 4_096)):
                text += part
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(read_end)
        refusal = "connect_sync was called before this process was forked; call it here;"
        assert text.decode() == refusal * 2
        client.publish(room_id, "x")
