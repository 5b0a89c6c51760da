"""Client for ArqonBus, a realtime message bus.

`connect` returns a connection, `Connection.room` a room; `connect_sync` is for scripts. Every
refusal is an `ArqonError`; this module has one subclass per reason (`TokenExpired`, `NotGranted`,
`VersionConflict`, `SlowConsumer`, …). The loggers below `arqon` are silent by default.
"""

import logging

from arqon import errors_gen
from arqon._clock import Backoff
from arqon._proof.verified_log import VerifiedLog
from arqon._subscription.position import Position
from arqon.codec import Codec, JsonCodec, ProtobufCodec, json_codec, protobuf_codec
from arqon.connection import Connection, connect
from arqon.errors import ArqonError
from arqon.errors_gen import *  # noqa: F403
from arqon.explanation import Explanation, Published
from arqon.listener import Listener, TypedMessage, TypedRoom
from arqon.message import Message, Signal
from arqon.options import Options, Status
from arqon.presence import Member, MemberCount, PresenceChange, PresenceChanges
from arqon.proof import WITH_RECEIPT, LogError, Proof, ProofError, ProofEvidence
from arqon.room import History, Room
from arqon.room_state import (
    Lease,
    Lock,
    RoomEvent,
    RoomState,
    StateSnapshot,
    StateValue,
    StateVersion,
)
from arqon.signing import Signer, ed25519_key
from arqon.sync import SyncConnection, SyncState, SyncSubscription, connect_sync

__version__ = "0.1.0"

__all__ = [
    "ArqonError",
    "Backoff",
    "Codec",
    "Connection",
    "Explanation",
    "History",
    "JsonCodec",
    "Lease",
    "Listener",
    "Lock",
    "LogError",
    "Member",
    "MemberCount",
    "Message",
    "Options",
    "Position",
    "PresenceChange",
    "PresenceChanges",
    "Proof",
    "ProofError",
    "ProofEvidence",
    "ProtobufCodec",
    "Published",
    "Room",
    "RoomEvent",
    "RoomState",
    "Signal",
    "Signer",
    "StateSnapshot",
    "StateValue",
    "StateVersion",
    "Status",
    "SyncConnection",
    "SyncState",
    "SyncSubscription",
    "TypedMessage",
    "TypedRoom",
    "VerifiedLog",
    "WITH_RECEIPT",
    "connect",
    "connect_sync",
    "ed25519_key",
    "json_codec",
    "protobuf_codec",
]
__all__ += errors_gen.__all__

logging.getLogger("arqon").addHandler(logging.NullHandler())
