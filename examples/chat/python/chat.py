"""A chat in the terminal: a durable room with its members and earlier messages.

`../typescript/chat.ts` works with it. The README explains how to start it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import unicodedata

import arqon


def clean(text: object) -> str:
    """Removes control characters: data of others must not control this terminal."""
    shown = "" if text is None else str(text)[:1_000]
    return "".join(" " if unicodedata.category(one) == "Cc" else one for one in shown)


def nick_of(member: arqon.Member) -> str:
    """The nick that a member chose."""
    nick = member.meta.get("nick") if isinstance(member.meta, dict) else None
    return clean(nick or member.user_id)


def line_of(message: arqon.Message) -> str:
    """A line for a message.

    The user chooses the nick; the bus guarantees the sender.
    """
    if message.signal is not None:
        return f"* {message.signal.kind}: {message.signal.reason}"
    if not isinstance(message.data, dict):
        return f"* {message.sender} sent something else"
    who = f"{clean(message.data.get('nick'))}@{message.sender}"
    text = clean(message.data.get("text"))
    return f"* {who} {text}" if message.type == "me" else f"{who}> {text}"


async def print_history(room: arqon.Room) -> arqon.Position | None:
    """Prints the last messages. Returns the position after them; None: the room stores nothing."""
    try:
        page = await room.history(limit=20, reverse=True)
    except arqon.NotDurable:
        return None
    for message in reversed(page.messages):
        print(line_of(message), flush=True)
    return arqon.Position(page.offset, page.epoch)


async def print_messages(room: arqon.Room) -> None:
    """Prints messages until the subscription ends."""
    async for message in room:
        print(line_of(message), flush=True)


async def print_presence(room: arqon.Room) -> None:
    """Prints the members, and who joins and leaves."""
    async for change in room.presence():
        if change.kind != "update":
            what = "is here" if change.kind == "join" else "has left"
            print(f"* {nick_of(change.member)} {what}", flush=True)


def typed_lines() -> asyncio.Queue[str]:
    """Lines of the standard input, the last one empty.

    A thread reads them, because that works on every system. As a daemon it does not block the exit.
    """
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\r\n"))
        loop.call_soon_threadsafe(lines.put_nowait, "/quit")

    threading.Thread(target=read, daemon=True).start()
    return lines


async def talk(room: arqon.Room, nick: str) -> None:
    """Sends each typed line, until /quit or the end of the input."""
    lines = typed_lines()
    while (line := await lines.get()) != "/quit":
        if line == "/who":
            print("* here:", ", ".join(sorted(map(nick_of, room.members()))), flush=True)
        elif line.startswith("/me ") or not line.startswith("/"):
            kind, text = ("me", line[4:]) if line.startswith("/me ") else ("chat", line)
            try:
                await room.publish(kind, {"nick": nick, "text": text})
            except arqon.ArqonError as error:
                # The user must know that the message was not stored.
                print(f"* not sent: {error}", flush=True)
        else:
            print("* commands: /who, /me TEXT and /quit", flush=True)


def print_status(status: arqon.Status) -> None:
    """Prints when the connection is lost."""
    if status.state == "waiting":
        print(f"* offline: {status.error}", flush=True)


async def main(url: str, token: str, room_id: str = "durable-chat", nick: str = "guest") -> None:
    """Ends when the user quits or the bus ends the connection for good."""
    async with arqon.connect(url, token=token, on_status=print_status) as bus:
        position = await print_history(bus.room(room_id))
        me = {"nick": nick}
        async with bus.room(room_id, presence=True, member_meta=me, position=position) as room:
            work = [talk(room, nick), print_messages(room), print_presence(room)]
            tasks = [asyncio.create_task(one) for one in work]
            done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            for task in done:
                task.result()


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit("usage: chat.py URL TOKEN [ROOM] [NICK]")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except arqon.ArqonError as error:
        sys.exit(f"chat: {error}")
