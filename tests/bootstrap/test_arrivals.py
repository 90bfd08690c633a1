"""Calls whose request never comes: they are hung up on, and nobody else waits for them."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import grpc
import pytest

import rdmaq
from rdmaq.bootstrap import server as server_module
from rdmaq.bootstrap.arrivals import PATIENCE_SECONDS, PATIENCE_SECONDS_SCARCE, Arrivals
from rdmaq.bootstrap.extra import HEALTH_CHECK, SERVICE
from rdmaq.errors import BootstrapError
from tests.bootstrap.rig import serving
from tests.bootstrap.test_security import check_serves, client_of
from tests.conformance.rig import eventually

CALL_COUNT, CALLS_PER_CONNECTION = 192, 16


class Call:
    """Of a caller who sends nothing, until it is hung up on."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def cancel(self) -> None:
        self.ended.set()

    def __iter__(self) -> Call:
        return self

    def __next__(self) -> bytes:
        assert self.ended.wait(60)
        raise RuntimeError("gRPC's word for a call that was hung up on")


class Waiting:
    """`count` calls that wait for their requests, each in a thread, by a clock of the test's."""

    def __init__(self, arrivals: Arrivals, count: int) -> None:
        self.calls = [Call() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._take, args=(arrivals, c)) for c in self.calls
        ]
        before = arrivals.count
        for thread in self._threads:
            thread.start()
        eventually(lambda: arrivals.count == before + count)

    @staticmethod
    def _take(arrivals: Arrivals, call: Call) -> None:
        with pytest.raises(RuntimeError, match="hung up on"):
            arrivals.take(call, call)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def test_request_that_is_late_is_hung_up_on_and_no_other() -> None:
    """By the clock; where many wait, after less time."""
    now = 100.0
    arrivals = Arrivals(16, clock=lambda: now)
    first = Waiting(arrivals, 2)
    now += PATIENCE_SECONDS - 0.1
    second = Waiting(arrivals, 2)
    arrivals.hang_up()
    assert not any(call.ended.is_set() for call in first.calls)
    now += 0.2
    arrivals.hang_up()
    assert all(call.ended.is_set() for call in first.calls)
    first.join()
    third = Waiting(arrivals, 3)  # more than a quarter of the threads wait now
    arrivals.hang_up()
    assert all(call.ended.is_set() for call in second.calls), "they had 0.2 s"
    assert not any(call.ended.is_set() for call in third.calls)
    second.join()
    now += PATIENCE_SECONDS_SCARCE + 0.1
    arrivals.hang_up()
    assert not any(call.ended.is_set() for call in third.calls), "there is room again"
    arrivals.hang_up(on_all=True)
    third.join()
    assert arrivals.count == 0


def test_call_without_a_request_is_told_so() -> None:
    arrivals = Arrivals(16)
    with pytest.raises(BootstrapError, match=r"ended without a request: .+; .+"):
        arrivals.take(iter(()), Call())
    assert arrivals.take(iter([b"one", b"two"]), Call()) == b"one"
    assert arrivals.count == 0


def silent(channel: grpc.Channel, method: str, end: threading.Event) -> Any:
    """A call whose headers are sent, and nothing else before `end`."""

    def nothing() -> Iterator[Any]:
        end.wait()
        yield from ()

    return channel.stream_unary(method).future(nothing())


@pytest.mark.parametrize("method", [f"/{SERVICE}/Describe", HEALTH_CHECK])
def test_calls_that_never_send_their_request_leave_a_legitimate_peer_undisturbed(
    method: str,
) -> None:
    """Three times as many as the server has threads; each is ended, and peers get all the way."""
    end = threading.Event()
    with serving() as (server, backend), ExitStack() as stack:
        stack.callback(end.set)
        calls = []
        for _ in range(0, CALL_COUNT, CALLS_PER_CONNECTION):
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
            channel = grpc.insecure_channel(f"127.0.0.1:{server.port}", options)
            stack.enter_context(channel)
            calls += [silent(channel, method, end) for _ in range(CALLS_PER_CONNECTION)]
        eventually(lambda: server.waiting_count > 0)
        check_serves(server.port)
        eventually(lambda: all(call.done() for call in calls))
        assert {call.code() for call in calls} == {grpc.StatusCode.CANCELLED}
        check_serves(server.port)
        assert backend.connected == set()


def test_caller_without_the_token_is_refused_before_its_request_arrives() -> None:
    """It holds no thread at all: the answer comes although nothing was asked."""
    end = threading.Event()
    with serving(rdmaq.Credentials(token="t" * 16)) as (server, _), ExitStack() as stack:
        stack.callback(end.set)
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}"))
        call = silent(channel, f"/{SERVICE}/Describe", end)
        assert call.exception(timeout=30).code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", [f"/{SERVICE}/Describe", HEALTH_CHECK])
def test_call_that_ends_without_a_request_is_refused_with_the_reason(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And not logged as a failure of ours, or strangers could fill the log."""
    with serving() as (server, _):
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call: Any = channel.stream_unary(method)
            with pytest.raises(grpc.RpcError) as caught:
                call(iter(()), timeout=30)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "ended without a request" in error.details()
        assert caplog.records == []


def test_server_that_closes_waits_for_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its grace is for calls that are being answered: here it would be longer than the test."""
    monkeypatch.setattr("rdmaq.bootstrap.server._CLOSE_SECONDS", 3600.0)
    end = threading.Event()
    with ExitStack() as stack:
        stack.callback(end.set)
        with serving() as (server, _):
            channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}"))
            call = silent(channel, f"/{SERVICE}/Describe", end)
            eventually(lambda: server.waiting_count == 1)
        assert call.exception(timeout=30) is not None


def test_node_with_too_many_calls_is_told_as_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, with what to do; what gRPC says is not for users."""
    with serving() as (server, _), client_of(server.port) as client:
        with monkeypatch.context() as patch:
            patch.setattr(server._server._state, "maximum_concurrent_rpcs", 0)
            with pytest.raises(BootstrapError, match=r"too many calls at once: .+; try again"):
                client.describe()
        client.describe()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def test_connections_without_calls_take_a_part_of_the_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sixty that have said hello, in HTTP/2, and ask nothing: the node keeps twenty."""
    monkeypatch.setattr(server_module, "connections_max", lambda: 20)
    with serving() as (server, _), idle_connections(server.port) as idle:
        eventually(lambda: sum(map(is_hung_up, idle)) == len(idle) - 20)


def test_connections_without_calls_are_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time that is short here; then whoever comes is served."""
    monkeypatch.setattr(server_module, "connections_max", lambda: 20)
    shorter = [(k, 200 if k == "grpc.max_connection_idle_ms" else v) for k, v in options()]
    monkeypatch.setattr(server_module, "_OPTIONS", tuple(shorter))
    with serving() as (server, _), idle_connections(server.port) as idle:
        eventually(lambda: all(map(is_hung_up, idle)))
        check_serves(server.port)


@contextmanager
def idle_connections(port: int) -> Iterator[list[socket.socket]]:
    """Sixty."""
    with ExitStack() as stack:
        idle = []
        for _ in range(60):
            idle.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
            with suppress(ConnectionError):  # hung up on at once
                idle[-1].sendall(PREFACE)
            idle[-1].setblocking(False)
        yield idle


def is_hung_up(sock: socket.socket) -> bool:
    """Whether the other side ended the connection; what it said before does not matter."""
    try:
        while sock.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def options() -> tuple[tuple[str, Any], ...]:
    return server_module._OPTIONS


def test_half_of_the_descriptors_are_for_callers() -> None:
    assert server_module.connections_max() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
    assert dict(options())["grpc.max_connection_age_ms"] <= 120_000
