"""Protobuf messages of `proto/arqon/v1`, as generated code. Not for programs: use `arqon`."""
