from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from typing import ClassVar as _ClassVar, Optional as _Optional
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

class Welcome(_message.Message):
    connection_id: str
    user_id: str
    tenant_id: str
    server_time_ms: int
    heartbeat_ms: int
    max_frame_bytes: int
    token_expires_ms: int
    node_id: str
    protocol_version: int
    def __init__(self, connection_id: _Optional[str] = ..., user_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., server_time_ms: _Optional[int] = ..., heartbeat_ms: _Optional[int] = ..., max_frame_bytes: _Optional[int] = ..., token_expires_ms: _Optional[int] = ..., node_id: _Optional[str] = ..., protocol_version: _Optional[int] = ...) -> None: ...

class Subscribe(_message.Message):
    room_id: str
    request_id: int
    presence: bool
    no_echo: bool
    batch: bool
    member_meta: bytes
    after_offset: int
    epoch: str
    observer: bool
    filter: str
    positions: bytes
    delta: bool
    delta_bytes: int
    vcdiff: bool
    def __init__(self, room_id: _Optional[str] = ..., request_id: _Optional[int] = ..., presence: bool = ..., no_echo: bool = ..., batch: bool = ..., member_meta: _Optional[bytes] = ..., after_offset: _Optional[int] = ..., epoch: _Optional[str] = ..., observer: bool = ..., filter: _Optional[str] = ..., positions: _Optional[bytes] = ..., delta: bool = ..., delta_bytes: _Optional[int] = ..., vcdiff: bool = ...) -> None: ...

class Unsubscribe(_message.Message):
    room_id: str
    request_id: int
    def __init__(self, room_id: _Optional[str] = ..., request_id: _Optional[int] = ...) -> None: ...

class Refresh(_message.Message):
    token: str
    request_id: int
    def __init__(self, token: _Optional[str] = ..., request_id: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    request_id: int
    code: int
    reason: str
    message: str
    result: bytes
    offset: int
    retry_after_ms: int
    def __init__(self, request_id: _Optional[int] = ..., code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., result: _Optional[bytes] = ..., offset: _Optional[int] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Envelope(_message.Message):
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    trace_id: str
    tenant_id: str
    room_id: str
    timestamp: int
    headers: _containers.ScalarMap[str, str]
    ack_requested: bool
    request_id: int
    sender_id: str
    offset: int
    signature: bytes
    message_id: str
    cmd: Command
    event: Event
    signal: SystemSignal
    delta: Delta
    def __init__(self, trace_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., room_id: _Optional[str] = ..., timestamp: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ..., ack_requested: bool = ..., request_id: _Optional[int] = ..., sender_id: _Optional[str] = ..., offset: _Optional[int] = ..., signature: _Optional[bytes] = ..., message_id: _Optional[str] = ..., cmd: _Optional[_Union[Command, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., signal: _Optional[_Union[SystemSignal, _Mapping]] = ..., delta: _Optional[_Union[Delta, _Mapping]] = ...) -> None: ...

class Delta(_message.Message):
    slot: int
    number: int
    base: int
    checksum: int
    def __init__(self, slot: _Optional[int] = ..., number: _Optional[int] = ..., base: _Optional[int] = ..., checksum: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    type: str
    data: bytes
    content_type: str
    schema_id: str
    def __init__(self, type: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., schema_id: _Optional[str] = ...) -> None: ...

class Command(_message.Message):
    name: str
    data: bytes
    content_type: str
    expect_version: int
    after_version: int
    fence: int
    epoch: str
    command_id: str
    def __init__(self, name: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., expect_version: _Optional[int] = ..., after_version: _Optional[int] = ..., fence: _Optional[int] = ..., epoch: _Optional[str] = ..., command_id: _Optional[str] = ...) -> None: ...

class SystemSignal(_message.Message):
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
    KIND_UNSPECIFIED: SystemSignal.Kind
    KIND_DISCONNECT: SystemSignal.Kind
    KIND_BAN: SystemSignal.Kind
    KIND_UNBAN: SystemSignal.Kind
    KIND_REVOKE: SystemSignal.Kind
    KIND_DRAIN: SystemSignal.Kind
    KIND_GAP: SystemSignal.Kind
    kind: SystemSignal.Kind
    target: str
    reason: str
    until_ms: int
    def __init__(self, kind: _Optional[_Union[SystemSignal.Kind, str]] = ..., target: _Optional[str] = ..., reason: _Optional[str] = ..., until_ms: _Optional[int] = ...) -> None: ...

class HistoryQuery(_message.Message):
    after: int
    before: int
    limit: int
    reverse: bool
    filter: str
    def __init__(self, after: _Optional[int] = ..., before: _Optional[int] = ..., limit: _Optional[int] = ..., reverse: bool = ..., filter: _Optional[str] = ...) -> None: ...

class History(_message.Message):
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Envelope]
    offset: int
    epoch: str
    more: bool
    def __init__(self, messages: _Optional[_Iterable[_Union[Envelope, _Mapping]]] = ..., offset: _Optional[int] = ..., epoch: _Optional[str] = ..., more: bool = ...) -> None: ...

class PresenceMember(_message.Message):
    connection_id: str
    user_id: str
    meta: bytes
    joined_ms: int
    def __init__(self, connection_id: _Optional[str] = ..., user_id: _Optional[str] = ..., meta: _Optional[bytes] = ..., joined_ms: _Optional[int] = ...) -> None: ...

class PresenceUpdate(_message.Message):
    members: _containers.RepeatedCompositeFieldContainer[PresenceMember]
    connections: int
    users: int
    snapshot: bool
    def __init__(self, members: _Optional[_Iterable[_Union[PresenceMember, _Mapping]]] = ..., connections: _Optional[int] = ..., users: _Optional[int] = ..., snapshot: bool = ...) -> None: ...

class PresenceLeave(_message.Message):
    members: _containers.RepeatedCompositeFieldContainer[PresenceMember]
    connections: int
    users: int
    def __init__(self, members: _Optional[_Iterable[_Union[PresenceMember, _Mapping]]] = ..., connections: _Optional[int] = ..., users: _Optional[int] = ...) -> None: ...
