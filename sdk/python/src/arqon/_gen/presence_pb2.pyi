from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PresenceMember(_message.Message):
    __slots__ = ("connection_id", "user_id", "meta", "joined_ms")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    JOINED_MS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    user_id: str
    meta: bytes
    joined_ms: int
    def __init__(self, connection_id: _Optional[str] = ..., user_id: _Optional[str] = ..., meta: _Optional[bytes] = ..., joined_ms: _Optional[int] = ...) -> None: ...

class PresenceUpdate(_message.Message):
    __slots__ = ("members", "connections", "users", "snapshot")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[PresenceMember]
    connections: int
    users: int
    snapshot: bool
    def __init__(self, members: _Optional[_Iterable[_Union[PresenceMember, _Mapping]]] = ..., connections: _Optional[int] = ..., users: _Optional[int] = ..., snapshot: bool = ...) -> None: ...

class PresenceLeave(_message.Message):
    __slots__ = ("members", "connections", "users")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[PresenceMember]
    connections: int
    users: int
    def __init__(self, members: _Optional[_Iterable[_Union[PresenceMember, _Mapping]]] = ..., connections: _Optional[int] = ..., users: _Optional[int] = ...) -> None: ...
