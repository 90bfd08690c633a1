from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LinkLayer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINK_LAYER_UNKNOWN: _ClassVar[LinkLayer]
    LINK_LAYER_INFINIBAND: _ClassVar[LinkLayer]
    LINK_LAYER_ETHERNET: _ClassVar[LinkLayer]

class GidKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GID_KIND_UNKNOWN: _ClassVar[GidKind]
    GID_KIND_INFINIBAND: _ClassVar[GidKind]
    GID_KIND_ROCE_V1: _ClassVar[GidKind]
    GID_KIND_ROCE_V2: _ClassVar[GidKind]

class TailMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TAIL_MODE_UNKNOWN: _ClassVar[TailMode]
    TAIL_MODE_WRITE: _ClassVar[TailMode]
    TAIL_MODE_IMM: _ClassVar[TailMode]

class Start(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    START_LIVE: _ClassVar[Start]
    START_OLDEST: _ClassVar[Start]
    START_SEQUENCE: _ClassVar[Start]
    START_TIME: _ClassVar[Start]
LINK_LAYER_UNKNOWN: LinkLayer
LINK_LAYER_INFINIBAND: LinkLayer
LINK_LAYER_ETHERNET: LinkLayer
GID_KIND_UNKNOWN: GidKind
GID_KIND_INFINIBAND: GidKind
GID_KIND_ROCE_V1: GidKind
GID_KIND_ROCE_V2: GidKind
TAIL_MODE_UNKNOWN: TailMode
TAIL_MODE_WRITE: TailMode
TAIL_MODE_IMM: TailMode
START_LIVE: Start
START_OLDEST: Start
START_SEQUENCE: Start
START_TIME: Start

class Version(_message.Message):
    __slots__ = ("major", "minor", "release")
    MAJOR_FIELD_NUMBER: _ClassVar[int]
    MINOR_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    major: int
    minor: int
    release: str
    def __init__(self, major: _Optional[int] = ..., minor: _Optional[int] = ..., release: _Optional[str] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("boot_id", "pid", "hostname", "local_name", "instance")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    LOCAL_NAME_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    boot_id: bytes
    pid: int
    hostname: str
    local_name: str
    instance: bytes
    def __init__(self, boot_id: _Optional[bytes] = ..., pid: _Optional[int] = ..., hostname: _Optional[str] = ..., local_name: _Optional[str] = ..., instance: _Optional[bytes] = ...) -> None: ...

class Stream(_message.Message):
    __slots__ = ("name", "schema", "capacity_bytes", "is_reliable", "epoch", "next_sequence", "guard_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    IS_RELIABLE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    GUARD_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    schema: str
    capacity_bytes: int
    is_reliable: bool
    epoch: int
    next_sequence: int
    guard_bytes: int
    def __init__(self, name: _Optional[str] = ..., schema: _Optional[str] = ..., capacity_bytes: _Optional[int] = ..., is_reliable: _Optional[bool] = ..., epoch: _Optional[int] = ..., next_sequence: _Optional[int] = ..., guard_bytes: _Optional[int] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("name", "kind", "format", "schema", "shape", "access")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    format: int
    schema: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    access: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., format: _Optional[int] = ..., schema: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., access: _Optional[str] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: Version
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ...) -> None: ...

class DescribeReply(_message.Message):
    __slots__ = ("version", "identity", "streams", "regions", "transports", "challenge", "verbs_missing")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    TRANSPORTS_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    VERBS_MISSING_FIELD_NUMBER: _ClassVar[int]
    version: Version
    identity: Identity
    streams: _containers.RepeatedCompositeFieldContainer[Stream]
    regions: _containers.RepeatedCompositeFieldContainer[Region]
    transports: _containers.RepeatedScalarFieldContainer[str]
    challenge: bytes
    verbs_missing: str
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ..., streams: _Optional[_Iterable[_Union[Stream, _Mapping]]] = ..., regions: _Optional[_Iterable[_Union[Region, _Mapping]]] = ..., transports: _Optional[_Iterable[str]] = ..., challenge: _Optional[bytes] = ..., verbs_missing: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("mtu_bytes", "max_rd_atomic", "max_inline_bytes", "max_send_requests", "max_receive_requests")
    MTU_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_RD_ATOMIC_FIELD_NUMBER: _ClassVar[int]
    MAX_INLINE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_SEND_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MAX_RECEIVE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    mtu_bytes: int
    max_rd_atomic: int
    max_inline_bytes: int
    max_send_requests: int
    max_receive_requests: int
    def __init__(self, mtu_bytes: _Optional[int] = ..., max_rd_atomic: _Optional[int] = ..., max_inline_bytes: _Optional[int] = ..., max_send_requests: _Optional[int] = ..., max_receive_requests: _Optional[int] = ...) -> None: ...

class PairAttributes(_message.Message):
    __slots__ = ("qp_num", "psn", "gid", "lid", "limits", "link_layer", "gid_kind", "initiator_depth", "responder_depth", "receives")
    QP_NUM_FIELD_NUMBER: _ClassVar[int]
    PSN_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    LID_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LINK_LAYER_FIELD_NUMBER: _ClassVar[int]
    GID_KIND_FIELD_NUMBER: _ClassVar[int]
    INITIATOR_DEPTH_FIELD_NUMBER: _ClassVar[int]
    RESPONDER_DEPTH_FIELD_NUMBER: _ClassVar[int]
    RECEIVES_FIELD_NUMBER: _ClassVar[int]
    qp_num: int
    psn: int
    gid: bytes
    lid: int
    limits: Limits
    link_layer: LinkLayer
    gid_kind: GidKind
    initiator_depth: int
    responder_depth: int
    receives: int
    def __init__(self, qp_num: _Optional[int] = ..., psn: _Optional[int] = ..., gid: _Optional[bytes] = ..., lid: _Optional[int] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., link_layer: _Optional[_Union[LinkLayer, str]] = ..., gid_kind: _Optional[_Union[GidKind, str]] = ..., initiator_depth: _Optional[int] = ..., responder_depth: _Optional[int] = ..., receives: _Optional[int] = ...) -> None: ...

class RegionKey(_message.Message):
    __slots__ = ("region", "address", "length_bytes", "remote_key")
    REGION_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    REMOTE_KEY_FIELD_NUMBER: _ClassVar[int]
    region: Region
    address: int
    length_bytes: int
    remote_key: int
    def __init__(self, region: _Optional[_Union[Region, _Mapping]] = ..., address: _Optional[int] = ..., length_bytes: _Optional[int] = ..., remote_key: _Optional[int] = ...) -> None: ...

class Ring(_message.Message):
    __slots__ = ("data_address", "data_key", "live_address", "live_key")
    DATA_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DATA_KEY_FIELD_NUMBER: _ClassVar[int]
    LIVE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LIVE_KEY_FIELD_NUMBER: _ClassVar[int]
    data_address: int
    data_key: int
    live_address: int
    live_key: int
    def __init__(self, data_address: _Optional[int] = ..., data_key: _Optional[int] = ..., live_address: _Optional[int] = ..., live_key: _Optional[int] = ...) -> None: ...

class LinkRequest(_message.Message):
    __slots__ = ("stream", "subscription", "generation", "epoch", "position", "cursor", "tail_mode", "credit_count", "replica", "pair", "start", "start_value", "is_held", "depth", "receive_count_max")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    TAIL_MODE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    PAIR_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    START_VALUE_FIELD_NUMBER: _ClassVar[int]
    IS_HELD_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    stream: str
    subscription: bytes
    generation: int
    epoch: int
    position: int
    cursor: int
    tail_mode: TailMode
    credit_count: int
    replica: Ring
    pair: PairAttributes
    start: Start
    start_value: int
    is_held: bool
    depth: int
    receive_count_max: int
    def __init__(self, stream: _Optional[str] = ..., subscription: _Optional[bytes] = ..., generation: _Optional[int] = ..., epoch: _Optional[int] = ..., position: _Optional[int] = ..., cursor: _Optional[int] = ..., tail_mode: _Optional[_Union[TailMode, str]] = ..., credit_count: _Optional[int] = ..., replica: _Optional[_Union[Ring, _Mapping]] = ..., pair: _Optional[_Union[PairAttributes, _Mapping]] = ..., start: _Optional[_Union[Start, str]] = ..., start_value: _Optional[int] = ..., is_held: _Optional[bool] = ..., depth: _Optional[int] = ..., receive_count_max: _Optional[int] = ...) -> None: ...

class Clock(_message.Message):
    __slots__ = ("base_ticks", "base_wall_ns", "ns_per_tick_q32")
    BASE_TICKS_FIELD_NUMBER: _ClassVar[int]
    BASE_WALL_NS_FIELD_NUMBER: _ClassVar[int]
    NS_PER_TICK_Q32_FIELD_NUMBER: _ClassVar[int]
    base_ticks: int
    base_wall_ns: int
    ns_per_tick_q32: int
    def __init__(self, base_ticks: _Optional[int] = ..., base_wall_ns: _Optional[int] = ..., ns_per_tick_q32: _Optional[int] = ...) -> None: ...

class LinkReply(_message.Message):
    __slots__ = ("pair", "start", "sequence", "deliver_sequence", "origin_sequence", "ring", "tail_mode", "credit_count", "depth", "clock")
    PAIR_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DELIVER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RING_FIELD_NUMBER: _ClassVar[int]
    TAIL_MODE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    pair: PairAttributes
    start: int
    sequence: int
    deliver_sequence: int
    origin_sequence: int
    ring: Ring
    tail_mode: TailMode
    credit_count: int
    depth: int
    clock: Clock
    def __init__(self, pair: _Optional[_Union[PairAttributes, _Mapping]] = ..., start: _Optional[int] = ..., sequence: _Optional[int] = ..., deliver_sequence: _Optional[int] = ..., origin_sequence: _Optional[int] = ..., ring: _Optional[_Union[Ring, _Mapping]] = ..., tail_mode: _Optional[_Union[TailMode, str]] = ..., credit_count: _Optional[int] = ..., depth: _Optional[int] = ..., clock: _Optional[_Union[Clock, _Mapping]] = ...) -> None: ...

class ConnectRequest(_message.Message):
    __slots__ = ("version", "challenge", "pair", "regions", "probe_address", "probe_key", "link")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    PAIR_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    PROBE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PROBE_KEY_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    version: Version
    challenge: bytes
    pair: PairAttributes
    regions: _containers.RepeatedScalarFieldContainer[str]
    probe_address: int
    probe_key: int
    link: LinkRequest
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., challenge: _Optional[bytes] = ..., pair: _Optional[_Union[PairAttributes, _Mapping]] = ..., regions: _Optional[_Iterable[str]] = ..., probe_address: _Optional[int] = ..., probe_key: _Optional[int] = ..., link: _Optional[_Union[LinkRequest, _Mapping]] = ...) -> None: ...

class ConnectReply(_message.Message):
    __slots__ = ("session", "pair", "agreed", "keys", "probe_address", "probe_key", "confirm_within_ms", "link")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PAIR_FIELD_NUMBER: _ClassVar[int]
    AGREED_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    PROBE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PROBE_KEY_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    pair: PairAttributes
    agreed: Limits
    keys: _containers.RepeatedCompositeFieldContainer[RegionKey]
    probe_address: int
    probe_key: int
    confirm_within_ms: int
    link: LinkReply
    def __init__(self, session: _Optional[bytes] = ..., pair: _Optional[_Union[PairAttributes, _Mapping]] = ..., agreed: _Optional[_Union[Limits, _Mapping]] = ..., keys: _Optional[_Iterable[_Union[RegionKey, _Mapping]]] = ..., probe_address: _Optional[int] = ..., probe_key: _Optional[int] = ..., confirm_within_ms: _Optional[int] = ..., link: _Optional[_Union[LinkReply, _Mapping]] = ...) -> None: ...

class ConfirmRequest(_message.Message):
    __slots__ = ("session", "write_arrived", "read_arrived", "written", "read")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    WRITE_ARRIVED_FIELD_NUMBER: _ClassVar[int]
    READ_ARRIVED_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    write_arrived: bool
    read_arrived: bool
    written: bytes
    read: bytes
    def __init__(self, session: _Optional[bytes] = ..., write_arrived: _Optional[bool] = ..., read_arrived: _Optional[bool] = ..., written: _Optional[bytes] = ..., read: _Optional[bytes] = ...) -> None: ...

class ConfirmReply(_message.Message):
    __slots__ = ("write_arrived", "read_arrived", "written", "read")
    WRITE_ARRIVED_FIELD_NUMBER: _ClassVar[int]
    READ_ARRIVED_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    write_arrived: bool
    read_arrived: bool
    written: bytes
    read: bytes
    def __init__(self, write_arrived: _Optional[bool] = ..., read_arrived: _Optional[bool] = ..., written: _Optional[bytes] = ..., read: _Optional[bytes] = ...) -> None: ...

class BeginRequest(_message.Message):
    __slots__ = ("session", "position", "cursor")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    position: int
    cursor: int
    def __init__(self, session: _Optional[bytes] = ..., position: _Optional[int] = ..., cursor: _Optional[int] = ...) -> None: ...

class BeginReply(_message.Message):
    __slots__ = ("has_begun",)
    HAS_BEGUN_FIELD_NUMBER: _ClassVar[int]
    has_begun: bool
    def __init__(self, has_begun: _Optional[bool] = ...) -> None: ...

class DisconnectRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    def __init__(self, session: _Optional[bytes] = ...) -> None: ...

class DisconnectReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
