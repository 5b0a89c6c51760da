from arqon._gen import envelope_pb2 as _envelope_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HistoryQuery(_message.Message):
    after: int
    before: int
    limit: int
    reverse: bool
    filter: str
    def __init__(self, after: _Optional[int] = ..., before: _Optional[int] = ..., limit: _Optional[int] = ..., reverse: bool = ..., filter: _Optional[str] = ...) -> None: ...

class History(_message.Message):
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_envelope_pb2.Envelope]
    offset: int
    epoch: str
    more: bool
    def __init__(self, messages: _Optional[_Iterable[_Union[_envelope_pb2.Envelope, _Mapping]]] = ..., offset: _Optional[int] = ..., epoch: _Optional[str] = ..., more: bool = ...) -> None: ...
