"""The owner's side: an array or a table that peers may reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rdmaq._fast import error_text, ffi
from rdmaq._handle import Handle
from rdmaq.errors import CapacityError
from rdmaq.region import area as areas
from rdmaq.region.channel import ShmChannel
from rdmaq.region.counting import Counting
from rdmaq.region.grant import TABLE, RegionInfo
from rdmaq.region.refusals import ACCESSES, refusal
from rdmaq.region.region import Region
from rdmaq.region.rows import fitted_rows, row_numbers
from rdmaq.shm import wire

if TYPE_CHECKING:
    from rdmaq.verbs import Domain, RemoteMemory


class Exported(Handle):
    """What `Export` and `Table` share: an area, its descriptors, and its end.

    Attributes:
        info: what peers are told.
        area: the memory; a NIC registers it by `area.address` and `area.data_bytes`.
        channel: the owner's own way to it.
    """

    __slots__ = ("_control_fd", "_data_fd", "_on_close", "area", "channel", "info")

    def __init__(self, info: RegionInfo, on_close: Callable[[Exported], None]) -> None:
        super().__init__()
        self.info = info
        self._on_close = on_close
        self.area, self._data_fd, self._control_fd = areas.create(
            info.data_bytes, ACCESSES[info.access]
        )
        self.channel = ShmChannel(self.area, ACCESSES["atomic"])

    @property
    def name(self) -> str:
        """Under which peers find it."""
        return self.info.name

    @property
    def what(self) -> str:
        """Its name for messages."""
        return f"{'table' if self.info.kind == TABLE else 'region'} {self.info.name!r}"

    @property
    def descriptors(self) -> tuple[int, int]:
        """The area's, and its control page's: to hand over, not to close."""
        return self._data_fd, self._control_fd

    def revoke(self) -> None:
        """Withdraws it and refuses every operation that a peer begins from now on; idempotent.

        Over shared memory a mapping cannot be taken back: a peer that does not use rdmaq can go on
        reading what stood there. What it writes does not reach you any more: if peers could write,
        your addresses get memory of their own, with the bytes as they are now. Do not write to the
        array during the call. An operation under way at that moment may still be done.

        Raises:
            CapacityError: no memory to move to; it is withdrawn and refused all the same.
        """
        if self.closed:
            return
        self._is_closed = True
        self._stop_counting()
        self._on_close(self)  # no NIC reaches the memory from now on
        self.channel.close()
        code = self.channel.revoke()
        wire.close_all([self._data_fd, self._control_fd])
        if code != 0:
            raise CapacityError(
                f"{self.what} was revoked, but your array still shares its memory with the peers "
                f"that had it: {error_text(code)}; copy what you need, and free memory"
            )

    def close(self) -> None:
        """The same as `revoke`."""
        self.revoke()

    def admit_cpu_peer(self) -> Callable[[], None]:
        """A peer of this host gets the memory; returns what to call when it is gone.

        Raises:
            RegionAccessError: it may not, for now.
        """
        return _nothing_to_undo

    def _stop_counting(self) -> None:
        """Ends what counts beside the CPU."""

    def _forget(self) -> None:
        if not self._is_closed:  # else the descriptors' numbers are somebody else's by now
            self.channel.forget()
            wire.close_all([self._data_fd, self._control_fd])

    def __exit__(self, *_: object) -> None:
        self.close()


class Export(Exported):
    """An array that peers may reach; made by `Node.export`.

    Attributes:
        array: the shared memory itself, of the exported array's dtype and shape. Peers see what you
            write to it, you see what they write. It stays valid after `revoke`, and until the last
            reference to it is gone. A forked child must not touch it: the memory is not inherited.
    """

    __slots__ = ("_counting", "_region", "array")

    def __init__(
        self, info: RegionInfo, values: npt.NDArray[Any], on_close: Callable[[Exported], None]
    ) -> None:
        super().__init__(info, on_close)
        self.array = self.area.array(info.dtype, info.shape)
        self.array[...] = values
        self._region = Region(info.name, info.dtype, info.shape, "atomic", self.channel)
        self._counting = Counting(self.what, self._region)

    def admit_cpu_peer(self) -> Callable[[], None]:
        """See `Exported`: not where a NIC counts whose atomics are not atomic to CPUs."""
        return self._counting.admit_cpu_peer() if self.access == "atomic" else _nothing_to_undo

    def count_by_nic(self, domain: Domain, memory: RemoteMemory) -> None:
        """The node's, before a peer gets a key for remote atomics; idempotent.

        Not needed where the device's atomics are global (its limits). Once called, `fetch_add` and
        `compare_swap` of the owner go by the NIC, too, and so are one step for all peers.

        Args:
            domain: where the area is registered for remote atomics; closed after this export.
            memory: the area, as registered there.

        Raises:
            RegionAccessError: peers of this host count in it by their CPUs; give no such key.
            PairError, RegistrationError: the device has no room for it.
        """
        from rdmaq.region.loopback import Loopback  # who has no RDMA does not load it
        from rdmaq.region.verbs_channel import VerbsChannel

        def make() -> Region:
            channel = VerbsChannel(Loopback(domain, memory, self.what), self.info)
            return Region(self.name, self.info.dtype, self.info.shape, self.access, channel)

        self._counting.begin_nic(make)

    def count_by_cpu(self) -> None:
        """The node's, when the device that `count_by_nic` went by is gone; idempotent.

        Raises nothing.
        """
        self._counting.end_nic()

    def _stop_counting(self) -> None:
        self._counting.close()

    @property
    def access(self) -> str:
        """What peers may do: "read", "write" or "atomic"."""
        return self.info.access

    def fetch_add(self, offset_bytes: int, amount: int) -> int:
        """`Region.fetch_add` by the owner: one step for all peers, however they reach it."""
        self._check_open()
        return self._counting.do(lambda region: region.fetch_add(offset_bytes, amount))

    def compare_swap(self, offset_bytes: int, expected: int, value: int) -> int:
        """`Region.compare_swap` by the owner: one step for all peers, however they reach it."""
        self._check_open()
        return self._counting.do(lambda region: region.compare_swap(offset_bytes, expected, value))

    def _check_open(self) -> None:
        if self.closed:  # in a forked child the lock may be held by nobody any more
            raise self.closed_error()

    def offset_of(self, index: Any, field: str | None = None) -> int:
        """`Region.offset_of` of the own array: where an element begins, in bytes."""
        return self._region.offset_of(index, field)

    def __enter__(self) -> Export:
        return self


class Table(Exported):
    """Rows that peers read whole while you update them; made by `Node.table`.

    Each row has a version and two places, so that no update disturbs a reader of the row before it,
    not even an update that never ends. Rows begin as zeros, with version 0.

    One thread at a time: a second one inside gets `ConcurrentUse`. A forked child cannot use it.
    """

    __slots__ = ("_shape",)

    def __init__(self, info: RegionInfo, on_close: Callable[[Exported], None]) -> None:
        super().__init__(info, on_close)
        self._shape = ffi.new(
            "struct rq_table_shape *", {"row_bytes": info.dtype.itemsize, "row_count": len(self)}
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a row."""
        return self.info.dtype

    def __len__(self) -> int:
        return self.info.shape[0]

    def update(self, index: Any, values: npt.ArrayLike) -> None:
        """Replaces rows; each becomes visible as a whole, one after the other.

        Args:
            index: an integer, a slice, or an array of row numbers (later ones win).
            values: as many rows of the table's dtype, or one for all. Copied.

        Raises:
            RegionBoundsError: a row that is not there; nothing was updated.
            SchemaError: the values are no rows of this table; nothing was updated.
            ConcurrentUse, ClosedError: nothing was updated.
        """
        rows, shape = row_numbers(len(self), index, self.what)
        packed = fitted_rows(values, shape, self.dtype, self.what)
        code = self.channel.update_rows(self._shape, rows, packed)
        if code < 0:
            raise refusal(self.what, code, self.closed_error())

    def __enter__(self) -> Table:
        return self


def _nothing_to_undo() -> None:
    """A peer that goes leaves nothing behind: its mapping is its own."""
