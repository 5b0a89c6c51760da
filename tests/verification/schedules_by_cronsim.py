"""Times at which schedules are due, held to cronsim's reading of Debian's cron.

Over 50 time zones and six years: the hours around each change of the clock, and days between them.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim
from ours import by_us

START: Final = datetime(2024, 1, 1, tzinfo=timezone.utc)
END: Final = datetime(2030, 1, 1, tzinfo=timezone.utc)
CRONS: Final = (
    # Fixed: minute and hour have no "*".
    *("30 2 * * *", "0 0 * * *", "30 1 * * *", "0 2,14 * * *", "0,30 2 * * *", "15,45 0-3 * * *"),
    *("0-59/15 0-6/2 * * *", "30 23 * * *", "30 2 * * 0", "30 2 29 3 *", "15 22,23 * * 6"),
    # By the clock on the wall.
    *("30 * * * *", "*/30 2,14 * * *", "0 */2 * * *"),
)
ZONES: Final = (
    *("UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Lisbon"),
    *("Europe/Athens", "Europe/Kyiv", "Europe/Chisinau", "Europe/Moscow", "Europe/Istanbul"),
    *("Atlantic/Azores", "Atlantic/Reykjavik", "Atlantic/Bermuda", "Africa/Casablanca"),
    *("Africa/Cairo", "Africa/Lagos", "Africa/Johannesburg", "Africa/El_Aaiun"),
    *("America/New_York", "America/Chicago", "America/Denver", "America/Phoenix"),
    *("America/Los_Angeles", "America/Anchorage", "America/Adak", "America/St_Johns"),
    *("America/Halifax", "America/Havana", "America/Port-au-Prince", "America/Tijuana"),
    *("America/Mexico_City", "America/Sao_Paulo", "America/Santiago", "America/Asuncion"),
    *("America/Nuuk", "America/Scoresbysund", "America/Miquelon", "Pacific/Easter"),
    *("Pacific/Auckland", "Pacific/Chatham", "Pacific/Norfolk", "Australia/Lord_Howe"),
    *("Australia/Sydney", "Australia/Adelaide", "Asia/Kolkata", "Asia/Kathmandu"),
    *("Asia/Jerusalem", "Asia/Beirut", "Asia/Tokyo", "Asia/Tehran", "Antarctica/Troll"),
)


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def spans_of(zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """Some hours around each change of the clock, and days between them."""
    hour = timedelta(hours=1)
    hours = [START + hour * count for count in range((END - START) // hour)]
    offsets = [moment.astimezone(zone).utcoffset() for moment in hours]
    changes = [hours[at] for at in range(1, len(hours)) if offsets[at] != offsets[at - 1]]
    around = [(moment - hour * 4, moment + hour * 4) for moment in changes]
    return around + [(moment, moment + hour * 24) for moment in hours[:: 366 * 48]]


def due_in(cron: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[int]:
    """By cronsim, beginning before the span, which may start in the night itself."""
    times: list[int] = []
    for due in CronSim(cron, (start - timedelta(hours=4)).astimezone(zone)):
        moment = due.astimezone(timezone.utc)
        if moment > end:
            return times
        # Two that meet at the end of a gap are one: a schedule is due once at a time.
        if moment > start and ms(moment) not in times[-1:]:
            times.append(ms(moment))
    return times


def test_schedules_are_due_at_cronsims_times() -> None:
    zones = [ZoneInfo(name) for name in ZONES]
    spans = [spans_of(zone) for zone in zones]
    asked = [
        {"crons": CRONS, "zone": name, "spans": [(ms(start), ms(end)) for start, end in of_zone]}
        for name, of_zone in zip(ZONES, spans, strict=True)
    ]
    printed = by_us("due_times.ts", lines=[json.dumps(one) for one in asked])
    wrong: list[str] = []
    # cronsim goes by whole hours, the clock of Lord Howe by half of one, in twelve nights here.
    half: list[str] = []
    count = 0
    for name, zone, of_zone, line in zip(ZONES, zones, spans, printed, strict=True):
        for cron, ours in zip(CRONS, json.loads(line), strict=True):
            is_half = name == "Australia/Lord_Howe" and "*" in cron.split()[0] + cron.split()[1]
            for (start, end), times in zip(of_zone, ours, strict=True):
                theirs = due_in(cron, zone, start, end)
                count += len(theirs)
                if times != theirs:
                    apart = sorted({*times} ^ {*theirs})
                    shown = [str(datetime.fromtimestamp(t / 1000, zone)) for t in apart]
                    (half if is_half else wrong).append(f"{cron} {name} {start}: {shown}")
    assert count > 10_000
    assert wrong == [], f"{len(wrong)} of them"
    assert len(half) == 24, half
