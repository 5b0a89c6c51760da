"""The live map in a terminal: one row for each route, redrawn as vehicles move.

Where the output is not a terminal, one line for each update.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from math import isfinite
from typing import Any

import arqon

Vehicle = dict[str, Any]
MAP_ROWS = 12
REDRAW_SECONDS = 0.2


def is_vehicle(data: Any) -> bool:
    """Whether a message has the player's form: everybody with the grant can publish anything."""
    if not isinstance(data, dict):
        return False
    texts = [data.get(name) for name in ("id", "route", "stop")]
    numbers = [data.get("sequence"), data.get("latitude", 0), data.get("longitude", 0)]
    return all(isinstance(one, str) for one in texts) and all(
        isinstance(one, (int, float)) and isfinite(one) for one in numbers
    )


def share(value: float, low: float, high: float) -> float:
    """From 0 to 1; 0.5 when there is only one place."""
    return (value - low) / (high - low) if high > low else 0.5


def draw_map(vehicles: list[Vehicle], columns: int) -> list[str]:
    """Rows with a dot for each place: north is up."""
    rows = [[" "] * columns for _ in range(MAP_ROWS)]
    east = [one["longitude"] for one in vehicles]
    north = [one["latitude"] for one in vehicles]
    for one in vehicles:
        x = share(one["longitude"], min(east), max(east))
        y = 1 - share(one["latitude"], min(north), max(north))
        rows[round(y * (MAP_ROWS - 1))][round(x * (columns - 1))] = "●"
    return ["".join(row).rstrip() for row in rows]


def draw_line(route: str, vehicles: list[Vehicle], columns: int) -> str:
    """The trips of a route from left to right; those to the south (stop …S) from right to left."""
    # A name must not control this terminal.
    shown = "".join(one if one.isprintable() else " " for one in route[:6])
    name = f"{shown:<6} {len(vehicles):>3} "
    track = ["·"] * max(1, columns - len(name))
    last = max(one["sequence"] for one in vehicles) or 1
    for one in vehicles:
        back = one["stop"].endswith("S")
        part = 1 - one["sequence"] / last if back else one["sequence"] / last
        track[round(part * (len(track) - 1))] = "◀" if back else "▶"
    return name + "".join(track)


def draw(vehicles: dict[str, Vehicle], columns: int) -> list[str]:
    """The picture: a map of vehicles with coordinates, and a line for each route of the others."""
    placed = [one for one in vehicles.values() if "latitude" in one]
    lines: dict[str, list[Vehicle]] = {}
    for one in vehicles.values():
        if "latitude" not in one:
            lines.setdefault(one["route"], []).append(one)
    rows = draw_map(placed, columns) if placed else []
    return rows + [draw_line(route, lines[route], columns) for route in sorted(lines)]


class View:
    """The known vehicles, and how they are shown."""

    def __init__(self, terminal: bool) -> None:
        """Starts without vehicles."""
        self.terminal = terminal
        self.vehicles: dict[str, Vehicle] = {}
        self.updates = 0
        self.gaps = 0

    def hear(self, message: arqon.Message) -> None:
        """Applies a message of the room, stored or new."""
        kind = message.type
        if message.is_gap:
            self.gaps += 1
            kind = "gap"
        elif message.type == "vehicle" and is_vehicle(message.data):
            self.vehicles[message.data["id"]] = message.data
            self.updates += 1
        elif message.type == "gone" and isinstance(message.data, dict):
            self.vehicles.pop(str(message.data.get("id")), None)
        else:
            kind = "other"
        if not self.terminal:
            one = message.data if isinstance(message.data, dict) else {}
            print(f"{kind} {one.get('id', '')!a} {one.get('stop', '')!a}", flush=True)

    async def redraw(self) -> None:
        """Draws repeatedly over the last picture, for ever."""
        while True:
            size = shutil.get_terminal_size()
            rows = draw(self.vehicles, size.columns)[: size.lines - 2]
            head = f"{len(self.vehicles)} vehicles, {self.updates} updates, {self.gaps} gaps"
            print("\x1b[H\x1b[J" + "\n".join([head, *rows]), flush=True)
            await asyncio.sleep(REDRAW_SECONDS)


async def hear_history(room: arqon.Room, view: View) -> arqon.Position | None:
    """Reads the stored messages. Returns the position after them; None: the room stores nothing."""
    after = 0
    try:
        while True:
            page = await room.history(after=after, limit=1_000)
            for message in page.messages:
                view.hear(message)
            if not page.more or not page.messages:
                end = page.messages[-1].offset if page.messages else page.offset
                return arqon.Position(end, page.epoch)
            after = page.messages[-1].offset
    except arqon.NotDurable:
        return None


async def main(url: str, token: str, room_id: str) -> None:
    """Runs until it is interrupted or the connection ends for good."""
    view = View(sys.stdout.isatty())
    async with arqon.connect(url, token=token) as bus:
        position = await hear_history(bus.room(room_id), view)
        redrawing = asyncio.create_task(view.redraw()) if view.terminal else None
        async with bus.room(room_id, position=position) as room:
            async for message in room:
                view.hear(message)
        if redrawing is not None:
            redrawing.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("--room", default="map")
    args = parser.parse_args()
    try:
        asyncio.run(main(args.url, args.token, args.room))
    except KeyboardInterrupt:
        pass
    except arqon.ArqonError as error:
        sys.exit(f"view: {error}")
