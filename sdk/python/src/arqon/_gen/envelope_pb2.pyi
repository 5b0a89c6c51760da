from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Envelope(_message.Message):
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
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
        KIND_UNSPECIFIED: _ClassVar[SystemSignal.Kind]
        KIND_DISCONNECT: _ClassVar[SystemSignal.Kind]
        KIND_BAN: _ClassVar[SystemSignal.Kind]
        KIND_UNBAN: _ClassVar[SystemSignal.Kind]
        KIND_REVOKE: _ClassVar[SystemSignal.Kind]
        KIND_DRAIN: _ClassVar[SystemSignal.Kind]
        KIND_GAP: _ClassVar[SystemSignal.Kind]
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
