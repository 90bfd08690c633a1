"""What a node exports: regions and tables by name, and the answers to those who ask for them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rdmaq import arguments, errors
from rdmaq._fast import lib
from rdmaq._handle import Handle
from rdmaq.address import check_name
from rdmaq.region.exported import Export, Exported, Table
from rdmaq.region.grant import ARRAY, TABLE, RegionInfo, check_size
from rdmaq.region.refusals import ACCESSES
from rdmaq.shm import wire
from rdmaq.shm.listener import Reply
from rdmaq.stream import schema as schemas

_AnyExported = TypeVar("_AnyExported", bound=Exported)

_PAGE_BYTES = wire.PACKET_BYTES_MAX - 256  # less what stands around a page of regions


class Exports(Handle):
    """The regions and tables of one node.

    Args:
        address: the node's, for messages.

    Attributes:
        on_withdraw: called with each that is revoked, before its memory goes.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self._exported: dict[str, Exported] = {}
        self.on_withdraw: Callable[[Exported], None] = _nothing_else
        self._lock = threading.Lock()  # the user's threads and the listener's

    def export(self, name: str, array: npt.ArrayLike, access: str) -> Export:
        """See `Node.export`."""
        check_name(name, "region")
        if not isinstance(access, str) or access not in ACCESSES:
            raise errors.RegionError(
                f"access={arguments.shown(access)}: it is unknown; use 'read', 'write' (and read) "
                "or 'atomic' (and both)"
            )
        try:
            values = np.asarray(array)
        except (TypeError, ValueError) as error:
            raise errors.RegionError(
                f"this is no array to export: {error}; give a numpy array"
            ) from error
        dtype = schemas.check_dtype(values.dtype)
        info = RegionInfo(name=name, kind=ARRAY, dtype=dtype, shape=values.shape, access=access)
        return self._add(info, lambda: Export(info, values, self._withdraw))

    def table(self, name: str, dtype: npt.DTypeLike, rows: int) -> Table:
        """See `Node.table`."""
        check_name(name, "table")
        checked = schemas.check_dtype(dtype)
        try:
            most = lib.RQ_AREA_BYTES_MAX
            row_count = arguments.whole("rows", rows, 1, most, "give 1 or more")
        except (TypeError, ValueError) as error:
            raise errors.RegionError(str(error)) from error
        info = RegionInfo(name=name, kind=TABLE, dtype=checked, shape=(row_count,), access="read")
        return self._add(info, lambda: Table(info, self._withdraw))

    def _add(self, info: RegionInfo, make: Callable[[], _AnyExported]) -> _AnyExported:
        check_size(info)
        text = schemas.to_text(info.dtype)  # raises SchemaError when it cannot be written down
        if len(text) > lib.RQ_SCHEMA_BYTES_MAX:  # no peer would take it, nor the list it stands in
            raise errors.SchemaError(
                f"the dtype of {info.kind} {info.name!r} takes {len(text):,} bytes as text: at "
                f"most {lib.RQ_SCHEMA_BYTES_MAX:,} can be told; use fewer fields, or shorter names"
            )
        if self._is_forked:
            raise self.closed_error()  # the lock may be held by a thread of the parent's
        with self._lock:
            self._check_free(info.name)
        made = make()  # not under the lock: a large area takes long, and the listener needs it
        try:
            with self._lock:
                self._check_free(info.name)
                self._exported[info.name] = made
        except BaseException:
            made.close()
            raise
        return made

    def _check_free(self, name: str) -> None:
        if self.closed:
            raise errors.ClosedError(
                f"the node at {self.address} is closed: it exports nothing any more; make a new one"
            )
        if name in self._exported:
            raise errors.RegionExists(
                f"{self._exported[name].what} is exported at {self.address} already: close it "
                "first, or use another name"
            )

    def _withdraw(self, exported: Exported) -> None:
        with self._lock:
            if self._exported.get(exported.name) is exported:
                del self._exported[exported.name]
        self.on_withdraw(exported)

    def close(self) -> None:
        """Revokes everything."""
        if self.closed:
            return
        with self._lock:
            self._is_closed = True
            everything = list(self._exported.values())
        for exported in everything:
            exported.close()

    def find(self, name: str) -> Exported | None:
        """What is exported under a name now."""
        with self._lock:
            return self._exported.get(name)

    def infos(self) -> list[RegionInfo]:
        """What is exported now, by name."""
        with self._lock:
            return [self._exported[name].info for name in sorted(self._exported)]

    # ---- answering peers (on the listener's thread) ----

    @property
    def answers(self) -> dict[str, Callable[[dict[str, Any]], Reply]]:
        """Who answers, by what a request wants."""
        return {
            "regions": lambda request: self.answer_list(request.get("after")),
            "region": lambda request: self.answer_attach(request.get("name"), request.get("kind")),
        }

    def answer_list(self, after: Any) -> Reply:
        """A page of the list: names above `after` in order, as many as one packet holds."""
        if not isinstance(after, str):
            raise errors.HandoverError("the request for regions does not say where to begin")
        page: list[dict[str, Any]] = []
        room_bytes = _PAGE_BYTES
        for info in self.infos():
            if info.name <= after:
                continue
            message = info.to_message()
            room_bytes -= len(json.dumps(message)) + 2
            if page and room_bytes < 0:
                return Reply(message={"regions": page, "is_whole": False})
            page.append(message)
        return Reply(message={"regions": page, "is_whole": True})

    def answer_attach(self, name: Any, kind: Any) -> Reply:
        """The hand-over of one: its description and its two descriptors."""
        if not isinstance(name, str) or kind not in (ARRAY, TABLE):
            raise errors.HandoverError("the request for a region has fields of the wrong form")
        with self._lock:
            exported = self._exported.get(name)
            if exported is None or exported.info.kind != kind:
                raise self._no_such_region(name, kind)
            on_gone = exported.admit_cpu_peer()
            descriptors: list[int] = []
            try:
                for fd in exported.descriptors:
                    descriptors.append(os.dup(fd))  # noqa: PERF401 - the first, if one fails
            except OSError as error:
                wire.close_all(descriptors)
                on_gone()
                raise errors.HandoverError(
                    f"{exported.what} cannot be handed over: {error}; raise the node's limit "
                    "of open files (ulimit -n)"
                ) from error
        # The connection stays: its hang-up tells the peer of this process's death.
        message = exported.info.to_message()
        return Reply(message=message, descriptors=descriptors, on_gone=on_gone)

    def _no_such_region(self, name: str, kind: str) -> errors.RegionNotFound:
        offered = sorted(n for n, exported in self._exported.items() if exported.info.kind == kind)
        other = self._exported.get(name)
        words = ", ".join(repr(n) for n in offered[:20]) or "none"
        what = "table" if kind == TABLE else "region"
        if other is not None:
            cure, article = ("region", "an") if kind == TABLE else ("table", "a")
            return errors.RegionNotFound(
                f"{name!r} at {self.address} is {article} {other.info.kind}, no {what}: "
                f"ask for it by {cure}()",
                available=offered[:200],
            )
        return errors.RegionNotFound(
            f"no {what} {name[:200]!r} at {self.address}: it offers {words}; check the name, or "
            "pass timeout= seconds to wait for it",
            available=offered[:200],
        )


def _nothing_else(_: Exported) -> None:
    """Over shared memory the area itself tells its peers."""
