"""rdmaq: RDMA messaging for Python.

A stream is one ring of bytes in registered, shareable memory; a CPU or a NIC writes it, and any
number of readers map it read-only. This release serves one host by shared memory, and other hosts
with regions, tables and live streams by RDMA:

    with rdmaq.Node("local:feed") as node, node.publish("ticks") as publisher:
        publisher.send(b"...")

    with rdmaq.connect("local:feed").subscribe("ticks") as subscription:
        for batch in subscription.batches():
            ...

Times are seconds, sizes are bytes; `math.inf` is a time-out that never comes. An argument of a
wrong type raises `TypeError`, one out of range `ValueError`; what else rdmaq raises by itself
derives from `RdmaqError`. Every text has the form "what happened: cause; cure".

One-sided operations on RDMA devices are in `rdmaq.verbs`, which is imported by its own name.
"""

import rdmaq._interpreter  # noqa: F401 - before all others: it refuses what they cannot run in
from rdmaq import clock
from rdmaq.bootstrap.credentials import Credentials
from rdmaq.errors import (
    AccessDenied,
    AddressError,
    AddressInUse,
    AuthenticationError,
    BootstrapError,
    CapacityError,
    ClosedError,
    ConcurrentUse,
    CredentialsError,
    CutOff,
    DeviceNotFound,
    EndOfStream,
    GapError,
    HandoverError,
    MessageTooLarge,
    NotEnoughReaders,
    OperationFailed,
    OperationPending,
    PairError,
    PeerGone,
    PeerNotFound,
    PublisherGone,
    RdmaqError,
    RegionAccessError,
    RegionBoundsError,
    RegionError,
    RegionExists,
    RegionNotFound,
    RegionRevoked,
    RegistrationError,
    RowBusy,
    SchemaError,
    SchemaMismatch,
    SegmentError,
    SequenceError,
    StreamExists,
    StreamNotFound,
    TooManyReaders,
    UnsupportedTransport,
    VerbsUnavailable,
    VersionMismatch,
    ViewOverrun,
)
from rdmaq.node import Node
from rdmaq.peer import Peer, connect
from rdmaq.region.exported import Export, Table
from rdmaq.region.grant import RegionInfo
from rdmaq.region.region import Region
from rdmaq.region.table_reader import TableReader
from rdmaq.stream.batch import Batch, Gap
from rdmaq.stream.encode import MessageBlocks
from rdmaq.stream.events import Event
from rdmaq.stream.flow import Flow, lossy, reliable
from rdmaq.stream.link_info import LinkInfo
from rdmaq.stream.listing import StreamInfo
from rdmaq.stream.publisher import Publisher
from rdmaq.stream.stats import PublisherStats, SubscriptionStats
from rdmaq.stream.subscription import Subscription

__version__ = "0.1.0.dev0"

__all__ = [
    "AccessDenied",
    "AddressError",
    "AddressInUse",
    "AuthenticationError",
    "Batch",
    "BootstrapError",
    "CapacityError",
    "ClosedError",
    "ConcurrentUse",
    "Credentials",
    "CredentialsError",
    "CutOff",
    "DeviceNotFound",
    "EndOfStream",
    "Event",
    "Export",
    "Flow",
    "Gap",
    "GapError",
    "HandoverError",
    "LinkInfo",
    "MessageBlocks",
    "MessageTooLarge",
    "Node",
    "NotEnoughReaders",
    "OperationFailed",
    "OperationPending",
    "PairError",
    "Peer",
    "PeerGone",
    "PeerNotFound",
    "Publisher",
    "PublisherGone",
    "PublisherStats",
    "RdmaqError",
    "Region",
    "RegionAccessError",
    "RegionBoundsError",
    "RegionError",
    "RegionExists",
    "RegionInfo",
    "RegionNotFound",
    "RegionRevoked",
    "RegistrationError",
    "RowBusy",
    "SchemaError",
    "SchemaMismatch",
    "SegmentError",
    "SequenceError",
    "StreamExists",
    "StreamInfo",
    "StreamNotFound",
    "Subscription",
    "SubscriptionStats",
    "Table",
    "TableReader",
    "TooManyReaders",
    "UnsupportedTransport",
    "VerbsUnavailable",
    "VersionMismatch",
    "ViewOverrun",
    "clock",
    "connect",
    "lossy",
    "reliable",
]
