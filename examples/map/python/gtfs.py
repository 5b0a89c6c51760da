"""Vehicles of a GTFS-realtime feed, in the form of the map's messages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from google.transit import gtfs_realtime_pb2


@dataclass(frozen=True)
class Feed:
    """The content of a feed at one time."""

    at_seconds: int
    """Unix time; 0: unknown."""
    vehicles: list[dict[str, Any]]
    """The same members as `Vehicle` in `../typescript/gtfs.ts`."""


def _vehicle_of(position: Any) -> dict[str, Any]:
    trip = position.trip
    vehicle = {
        "id": position.vehicle.id or f"{trip.start_date} {trip.trip_id}".strip(),
        "route": trip.route_id,
        "stop": position.stop_id,
        "sequence": position.current_stop_sequence,
        "at_seconds": position.timestamp,
    }
    if position.HasField("position"):
        vehicle["latitude"] = position.position.latitude
        vehicle["longitude"] = position.position.longitude
    return vehicle


def read_feed(data: bytes) -> Feed:
    """Reads a FeedMessage. Raises `google.protobuf.message.DecodeError`."""
    feed = gtfs_realtime_pb2.FeedMessage.FromString(data)
    vehicles = [_vehicle_of(one.vehicle) for one in feed.entity if one.HasField("vehicle")]
    seen: Counter[str] = Counter()
    for vehicle in vehicles:
        seen[vehicle["id"]] += 1
        # Two trains of one feed can run the same trip.
        if (count := seen[vehicle["id"]]) > 1:
            vehicle["id"] += f" #{count}"
    return Feed(feed.header.timestamp, vehicles)
