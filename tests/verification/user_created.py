"""A schema as Google's own Protobuf library makes it, and messages of it. No tests."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SCHEMA_ID = "v1.events.user_created"
MESSAGE = "events.v1.UserCreated"


def user_created(*more: str) -> FileDescriptorSet:
    """A set with one message: a required `user_id`, and optional texts named `more`."""
    found = FileDescriptorSet()
    file = found.file.add(name="events/user.proto", package="events.v1", syntax="proto2")
    message = file.message_type.add(name="UserCreated")
    for number, name in enumerate(("user_id", *more), 1):
        field = message.field.add(name=name, number=number)
        field.type = FieldDescriptorProto.TYPE_STRING
        field.label = FieldDescriptorProto.LABEL_OPTIONAL
        if name == "user_id":
            field.label = FieldDescriptorProto.LABEL_REQUIRED
    return found


def encoded(schema: FileDescriptorSet, **fields: str) -> bytes:
    """A `UserCreated` in the binary form."""
    pool = DescriptorPool()
    pool.Add(schema.file[0])
    message = GetMessageClass(pool.FindMessageTypeByName(MESSAGE))(**fields)
    return bytes(message.SerializePartialToString())
