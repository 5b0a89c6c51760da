from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

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
