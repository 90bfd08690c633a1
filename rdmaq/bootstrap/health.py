"""gRPC's standard health service, on the same terms as the bootstrap: requests must arrive in time.

The servicer that comes with gRPC would have a thread wait for each of them, for ever.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

from rdmaq.bootstrap.arrivals import Arrivals
from rdmaq.errors import BootstrapError


class Health:
    """The service of one server.

    Args:
        grpc: the module.
        arrivals: of that server.

    Attributes:
        handler: to be added to the server.
    """

    def __init__(self, grpc: types.ModuleType, arrivals: Arrivals) -> None:
        from grpc_health.v1 import health, health_pb2

        self._servicer: Any = health.HealthServicer()
        self._serving: Any = health_pb2.HealthCheckResponse.SERVING
        parse = health_pb2.HealthCheckRequest.FromString

        def take(requests: Iterator[bytes], context: Any) -> Any:
            try:
                return arrivals.take(requests, context)
            except BootstrapError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

        def check(requests: Iterator[bytes], context: Any) -> Any:
            return self._servicer.Check(take(requests, context), context)

        def watch(requests: Iterator[bytes], context: Any, send_response_callback: Any) -> None:
            self._servicer.Watch(take(requests, context), context, send_response_callback)

        watch.experimental_non_blocking = True  # type: ignore[attr-defined]  # it holds no thread
        kinds = {
            "Check": (grpc.stream_unary_rpc_method_handler, check),
            "Watch": (grpc.stream_stream_rpc_method_handler, watch),
        }
        self.handler = grpc.method_handlers_generic_handler(
            health.SERVICE_NAME,
            {
                name: make(
                    behaviour,
                    request_deserializer=parse,
                    response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
                )
                for name, (make, behaviour) in kinds.items()
            },
        )

    def begin(self) -> None:
        """The node serves."""
        self._servicer.set("", self._serving)

    def end(self) -> None:
        """It does not any more: who watches is told."""
        self._servicer.enter_graceful_shutdown()
