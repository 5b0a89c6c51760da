from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Welcome(_message.Message):
    __slots__ = ("connection_id", "user_id", "tenant_id", "server_time_ms", "heartbeat_ms", "max_frame_bytes", "token_expires_ms", "node_id", "protocol_version")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
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
    __slots__ = ("room_id", "request_id", "presence", "no_echo", "batch", "member_meta", "after_offset", "epoch", "observer", "filter", "positions", "delta", "delta_bytes", "vcdiff")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    NO_ECHO_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    MEMBER_META_FIELD_NUMBER: _ClassVar[int]
    AFTER_OFFSET_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OBSERVER_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    DELTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    VCDIFF_FIELD_NUMBER: _ClassVar[int]
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
    __slots__ = ("room_id", "request_id")
    ROOM_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    room_id: str
    request_id: int
    def __init__(self, room_id: _Optional[str] = ..., request_id: _Optional[int] = ...) -> None: ...

class Refresh(_message.Message):
    __slots__ = ("token", "request_id")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    token: str
    request_id: int
    def __init__(self, token: _Optional[str] = ..., request_id: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("request_id", "code", "reason", "message", "result", "offset", "retry_after_ms")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    code: int
    reason: str
    message: str
    result: bytes
    offset: int
    retry_after_ms: int
    def __init__(self, request_id: _Optional[int] = ..., code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., result: _Optional[bytes] = ..., offset: _Optional[int] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...
