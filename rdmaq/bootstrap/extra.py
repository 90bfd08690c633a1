"""grpcio, imported when a host and port are used and not before."""

from __future__ import annotations

import os
import types

from rdmaq.errors import UnsupportedTransport


def grpc() -> types.ModuleType:
    """The module.

    Raises:
        UnsupportedTransport: it is not installed.
    """
    # What it writes to stderr its errors say, too, which we explain. Read when it is first used.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        import grpc as module
        import grpc_health.v1.health
        import grpc_health.v1.health_pb2_grpc  # noqa: F401 - all or nothing
    except ImportError as error:
        raise UnsupportedTransport(
            f"addresses with a host and port need gRPC: {error}; install it: pip install "
            "'rdmaq[net]'"
        ) from error
    return module


#: gRPC's own limits, the same on both sides.
COMMON_OPTIONS = (
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)
SERVICE = "rdmaq.bootstrap.v1.Bootstrap"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
