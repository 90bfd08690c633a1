"""The messages of bootstrap.proto as classes; the stub beside this file has their fields.

They are made from the compiled description and not from generated code, which would refuse every
protobuf older than the compiler that made it. scripts/protocol compiles.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import descriptor_pb2, message_factory

_PACKAGE = "rdmaq.bootstrap.v1."
_files = descriptor_pb2.FileDescriptorSet.FromString(
    Path(__file__).with_name("bootstrap.binpb").read_bytes()
)
for _name, _class in message_factory.GetMessages(list(_files.file)).items():
    globals()[_name.removeprefix(_PACKAGE)] = _class
