"""Nodes and peers that serve one test after the other, where making them takes long."""

from __future__ import annotations

import tempfile

import pytest

from tests.conformance.far import FarLink
from tests.conformance.rig import Link, Transport


class KeptLinks:
    """At most one link, empty again after each test; a test that closed it costs a new one."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # outlives the tests' own

    def take(self, transport: Transport) -> Link:
        if self._link is None:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="rq-")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("RDMAQ_RUNTIME_DIR", self._folder.name)
                self._link = FarLink(transport) if transport.far else Link(transport)
        return self._link

    def give_back(self) -> None:
        link = self._link
        assert link is not None
        try:
            link.clear()
            if not link.transport.far:  # else it is only called from here
                for exported in list(link.node._exports._exported.values()):
                    exported.close()
        except BaseException:  # one test's failure is not the next one's
            self.close()
            raise
        if link.node.closed or link.peer.closed:
            self.close()

    def close(self) -> None:
        link, self._link = self._link, None
        folder, self._folder = self._folder, None
        if link is not None:
            with link:
                pass
        if folder is not None:
            folder.cleanup()
