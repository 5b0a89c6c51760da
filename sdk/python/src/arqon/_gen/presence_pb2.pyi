from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
