"""Plays the GTFS-realtime feeds of a folder (`*.pb`) into a room.

It publishes the data of every vehicle, in the order of the feeds' own times.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import datetime, timezone
from pathlib import Path

from gtfs import Feed, read_feed

import arqon

# Feeds of different days are played without the pause of the night.
PAUSE_SECONDS_MAX = 60


def read_feeds(folder: Path) -> list[Feed]:
    """Every feed of the folder, the oldest first."""
    paths = sorted(folder.glob("*.pb"))
    if not paths:
        raise FileNotFoundError(f"there is no *.pb in {folder}")
    return sorted((read_feed(path.read_bytes()) for path in paths), key=lambda one: one.at_seconds)


async def publish_feed(room: arqon.Room, feed: Feed, on_map: dict[str, str]) -> None:
    """Publishes a feed, and removes the vehicles of its routes that it no longer has.

    With the header `x-key`, messages that wait for a slow viewer are merged: the newest of each
    vehicle remains.
    """
    here = {vehicle["id"]: vehicle["route"] for vehicle in feed.vehicles}
    routes = set(here.values())
    gone = [one for one, route in on_map.items() if route in routes and one not in here]
    events = [("vehicle", vehicle) for vehicle in feed.vehicles]
    events += [("gone", {"id": one}) for one in gone]
    sent = (room.publish(kind, data, headers={"x-key": data["id"]}) for kind, data in events)
    await asyncio.gather(*sent)
    for one in gone:
        del on_map[one]
    on_map.update(here)


async def play(url: str, token: str, folder: Path, room_id: str, speed: float) -> None:
    """Returns when the last feed has been published."""
    feeds = read_feeds(folder)
    on_map: dict[str, str] = {}
    async with arqon.connect(url, token=token) as bus:
        for index, feed in enumerate(feeds):
            await publish_feed(bus.room(room_id), feed, on_map)
            when = datetime.fromtimestamp(feed.at_seconds, timezone.utc).isoformat()
            print(f"{when}: {len(feed.vehicles)} vehicles, {len(on_map)} on the map", flush=True)
            following = feeds[min(index + 1, len(feeds) - 1)]
            pause_seconds = min(following.at_seconds - feed.at_seconds, PAUSE_SECONDS_MAX)
            await asyncio.sleep(pause_seconds / speed)


def above_zero(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if number > 0:
        return number
    raise argparse.ArgumentTypeError(f"it is {text}; expected a number above 0")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--room", default="map")
    parser.add_argument("--speed", type=above_zero, default=10.0, help="a factor above 0")
    args = parser.parse_args()
    try:
        asyncio.run(play(args.url, args.token, args.folder, args.room, args.speed))
    except (arqon.ArqonError, OSError) as error:
        sys.exit(f"play: {error}")
