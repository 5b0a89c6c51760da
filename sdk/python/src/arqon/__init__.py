"""Client for ArqonBus, a realtime message bus.

`connect` gives a connection, `Connection.room` a room; `connect_sync` is for scripts. Every refusal
is an `ArqonError`; there is one subclass per reason in this module (`TokenExpired`, `NotGranted`,
`VersionConflict`, `SlowConsumer`, …). The loggers below `arqon` are quiet unless you ask them.
"""

import logging

from arqon import _reasons
from arqon._backoff import Backoff
from arqon._position import Position
from arqon._reasons import *  # noqa: F403
from arqon.connection import Connection, connect
from arqon.errors import ArqonError
from arqon.message import Message, Signal
from arqon.options import Options, Status
from arqon.presence import Member, MemberCount, PresenceChange
from arqon.room import History, Room
from arqon.room_state import Lock, RoomState, StateSnapshot, StateValue, StateVersion
from arqon.signing import Signer, ed25519_key
from arqon.sync import SyncConnection, SyncSubscription, connect_sync

__version__ = "0.1.0"

__all__ = [
    "ArqonError",
    "Backoff",
    "Connection",
    "History",
    "Lock",
    "Member",
    "MemberCount",
    "Message",
    "Options",
    "Position",
    "PresenceChange",
    "Room",
    "RoomState",
    "Signal",
    "Signer",
    "StateSnapshot",
    "StateValue",
    "StateVersion",
    "Status",
    "SyncConnection",
    "SyncSubscription",
    "connect",
    "connect_sync",
    "ed25519_key",
]
__all__ += _reasons.__all__

logging.getLogger("arqon").addHandler(logging.NullHandler())
