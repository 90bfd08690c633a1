"""A copy of a stream's ring in this process's memory, which the publisher's NIC writes."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any

from rdmaq._fast import error_text, ffi, lib
from rdmaq.bootstrap.messages import LinkGrant, RingKeys, StreamOffer
from rdmaq.errors import RegistrationError, SegmentError, TooManyReaders
from rdmaq.shm import segment as segments
from rdmaq.stream import schema as schemas
from rdmaq.verbs.constants import Access

if TYPE_CHECKING:
    from rdmaq.verbs.domain import Domain
    from rdmaq.verbs.memory import Memory


class Replica:
    """The ring, registered; its readers are admitted as a publisher's are.

    Args:
        domain: within which a link may write it.
        offer: the stream, as its node describes it.
        silent_ns: without a heartbeat for so long the publisher is silent.

    Attributes:
        segment: read-only, for readers.
        dtype: of the records, or None.
        epoch: of the stream.
        is_reliable: its publisher waits for readers.

    Raises:
        CapacityError: no ring can be as it is described, or there is no memory for it.
        SegmentError: its schema cannot be read.
        RegistrationError: it cannot be pinned; the text names the limit.
    """

    def __init__(self, domain: Domain, offer: StreamOffer, silent_ns: int) -> None:
        text = offer.schema
        self.dtype = schemas.from_text(text) if text else None
        self.epoch = offer.epoch
        self.is_reliable = offer.is_reliable
        self._silent_ns = silent_ns
        self._handle: Any = None
        self._is_attached = False
        self._own, fd = segments.create(
            offer.name,
            text,
            schemas.text_hash(text) if text else 0,
            0 if self.dtype is None else self.dtype.itemsize,
            capacity_bytes=offer.capacity_bytes,
            guard_bytes=offer.guard_bytes,
            is_reliable=offer.is_reliable,
            epoch=offer.epoch,
        )
        try:
            self.segment = segments.attach(fd)
        finally:
            os.close(fd)
        try:
            data = self._own.view[: offer.capacity_bytes]
            self._data = domain.register(data, Access.REMOTE_WRITE)
            try:
                opened = Access.REMOTE_WRITE | Access.REMOTE_READ
                self._live = domain.register(self._own.live(), opened)
            except BaseException:
                self._data.close()
                raise
        except RegistrationError as error:
            raise RegistrationError(
                f"the replica of stream {offer.name!r} ({offer.capacity_bytes:,} bytes, as its "
                f"publisher's capacity) cannot be pinned: {error}"
            ) from error

    @property
    def keys(self) -> RingKeys:
        """What a link needs."""
        return RingKeys(
            data_address=self._data.address,
            live_address=self._live.address,
            data_key=self._data.rkey,
            live_key=self._live.rkey,
        )

    def open(self, grant: LinkGrant, generation: int) -> None:
        """The first link's grant: where it begins. Nothing has arrived yet.

        Args:
            grant: the node's.
            generation: the link's.

        Raises:
            SegmentError: no link can begin there.
        """
        setup = ffi.new("struct rq_replica_setup *")
        setup.position, setup.sequence, setup.generation = grant.start, grant.sequence, generation
        setup.origin_sequence, setup.clock = grant.origin_sequence, grant.clock
        setup.silent_ns, setup.event_fd = self._silent_ns, -1
        out = ffi.new("struct rq_replica **")
        code = lib.rq_replica_open(self._own.pointer, setup, out)
        if code != 0:
            raise SegmentError(
                f"the node's link begins at {grant.start}, where no frame can begin "
                f"({error_text(code)}): it is not used; is the peer really an rdmaq node?"
            )
        self._handle = out[0]

    def attach(self, keeper: Any, pair: Any, credit_count: int) -> None:
        """The keeper's thread looks for what arrives, from now on.

        Args:
            keeper: a `struct rq_keeper`.
            pair: the `struct rq_pair` whose receives bear the tails; `ffi.NULL`: tails are WRITEs.
            credit_count: receives to post.
        """
        code = lib.rq_replica_attach(self._handle, keeper, pair, credit_count)
        if code != 0:
            raise SegmentError(
                f"the replica cannot be attended to: {error_text(code)}; use fewer credits"
            )
        self._is_attached = True

    def admit(self, sock: socket.socket) -> tuple[int, int, int]:
        """Admits a reader at the tail. Returns its control page's descriptor, slot and position.

        Args:
            sock: takes wake bytes; a copy is kept. The descriptor is the caller's.

        Raises:
            TooManyReaders: 128 have been admitted.
        """
        control_fd = ffi.new("int *")
        position, sequence = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        slot = lib.rq_publisher_admit(
            self._publisher,
            lib.RQ_START_LIVE,
            0,
            sock.fileno(),
            control_fd,
            position,
            sequence,
        )
        if slot == -errno.ENOSPC:
            raise TooManyReaders(f"the replica has {lib.RQ_READERS_MAX} readers; close some")
        if slot < 0:
            raise SegmentError(f"the replica admits nobody now: {error_text(slot)}; try again")
        return control_fd[0], slot, position[0]

    def dismiss(self, slot: int) -> None:
        """Forgets a reader; idempotent."""
        lib.rq_publisher_dismiss(self._publisher, slot)

    def cut_off(self, slot: int) -> None:
        """Tells a reader that the publisher does not wait for it any more: `CutOff`."""
        lib.rq_publisher_cut_off(self._publisher, slot)

    @property
    def _publisher(self) -> Any:
        return lib.rq_replica_publisher(self._handle)

    def _stats(self) -> Any:
        stats = ffi.new("struct rq_replica_stats *")
        lib.rq_replica_read_stats(self._handle, stats)
        return stats

    def state(self) -> int:
        """RQ_REPLICA_*."""
        return int(self._stats().state)

    def detach(self) -> None:
        """After the link's queue pair was destroyed: nothing arrives any more."""
        if self._is_attached:
            self._is_attached = False
            lib.rq_replica_detach(self._handle)

    def restart(self, grant: LinkGrant, generation: int, start: int, sequence: int) -> None:
        """The next link's grant, while detached: it begins at the tail, or beyond it.

        Args:
            grant: the node's.
            generation: the link's.
            start: where it begins: the grant says it, or the tail, if what was missed is READ.
            sequence: there; 0 at the tail, where it is not known anew.

        Raises:
            SegmentError: it begins elsewhere, or what came by the last one cannot be.
        """
        lib.rq_replica_learn_origin(self._handle, grant.origin_sequence)
        code = lib.rq_replica_restart(self._handle, generation, start, sequence)
        if code != 0:
            raise SegmentError(
                f"the node's link begins at {start}, and {self.tail_bytes:,} is where the last one "
                f"ended ({error_text(code)}): it is not used; subscribe anew"
            )

    @property
    def tail_bytes(self) -> int:
        """How far it is written; 0: no link has begun yet."""
        return 0 if self._handle is None else int(self._stats().tail_bytes)

    @property
    def cursor_bytes(self) -> int:
        """The least position of its readers, of a reliable stream; else the tail."""
        return int(self._stats().cursor_bytes)

    def backfill(self, pair: Any, ring: RingKeys, words: Memory) -> Any:
        """The `struct rq_backfill` that writes on at the tail, while detached.

        Args:
            pair: the `struct rq_pair` that READs.
            ring: the publisher's.
            words: of the caller, at least 64 bytes.

        Raises:
            SegmentError: it cannot be.
        """
        described, stats = self._own.description, self._stats()
        descriptor = ffi.new("struct rq_descriptor *")
        lib.rq_descriptor_init(
            descriptor, described.capacity_bytes, described.guard_bytes, described.record_bytes
        )
        setup = ffi.new("struct rq_backfill_setup *")
        setup.publisher = (ring.data_address, ring.live_address, ring.data_key, ring.live_key)
        setup.position, setup.sequence = stats.tail_bytes, stats.next_sequence
        setup.words_address, setup.words_key = words.address, words.lkey
        setup.local_key, setup.is_paced = self._data.lkey, True
        out = ffi.new("struct rq_backfill **")
        code = lib.rq_backfill_open(descriptor, pair, self._handle, setup, out)
        if code != 0:
            raise SegmentError(
                f"the publisher's ring cannot be read from {stats.tail_bytes:,} on: "
                f"{error_text(code)}; publish it with a smaller guard, or subscribe with "
                "start='live'"
            )
        return out[0]

    def unpin(self) -> None:
        """Deregisters, after `detach`: no link will come any more. Readers read on. Idempotent."""
        self._data.close()
        self._live.close()

    def close(self) -> None:
        """Deregisters. After `detach`, and when no reader is inside any more; readers' arrays stay.

        Idempotent.
        """
        self.unpin()
        if self._handle is not None:
            lib.rq_replica_close(self._handle)
            lib.rq_replica_free(self._handle)
            self._handle = None
