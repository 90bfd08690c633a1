"""What the compiled extension offers; made by csrc/build_stub.py from rdmaq_abi.h."""

from typing import Any, TypeAlias

#: Structs and pointers are cffi's own objects, whose members no checker knows.
CData: TypeAlias = Any
ffi: Any

class _Lib:
    RQ_FORMAT_VERSION: int
    RQ_FRAME_HEADER_BYTES: int
    RQ_CAPACITY_BYTES_MIN: int
    RQ_CAPACITY_BYTES_MAX: int
    RQ_GUARD_BYTES_DEFAULT_MAX: int
    RQ_GUARD_BYTES_MIN: int
    RQ_READERS_MAX: int
    RQ_TAPS_MAX: int
    RQ_FRAME_MESSAGES_MAX: int
    RQ_BLOCK_PAYLOAD_BYTES_MAX: int
    RQ_LEDGER_ENTRIES: int
    RQ_NAME_BYTES_MAX: int
    RQ_SCHEMA_BYTES_MAX: int
    RQ_WAIT_SLICE_NS_MAX: int
    RQ_STALL_NS_MAX: int
    RQ_KIND_MESSAGE: int
    RQ_KIND_RECORDS: int
    RQ_KIND_BLOCKS: int
    RQ_KIND_GAP: int
    RQ_KIND_HEARTBEAT: int
    RQ_KIND_END: int
    RQ_POLL_NOTHING: int
    RQ_POLL_GAP: int
    RQ_POLL_END: int
    RQ_POLL_TOO_SMALL: int
    RQ_POLL_CUT_OFF: int
    RQ_CAUSE_UPSTREAM: int
    RQ_CAUSE_OVERRUN: int
    RQ_WAIT_AUTO: int
    RQ_WAIT_SPIN: int
    RQ_WAIT_YIELD: int
    RQ_WAIT_SLEEP: int
    RQ_START_LIVE: int
    RQ_START_OLDEST: int
    RQ_START_SEQUENCE: int
    RQ_START_WALL_NS: int
    RQ_CUT_STALLED: int
    RQ_CUT_BAD_CURSOR: int
    RQ_BENCH_PLAIN_HEADER_BYTES: int
    RQ_LINK_DEPTH_MAX: int
    RQ_LINK_CREDITS_MAX: int
    RQ_LINK_WORDS_BYTES: int
    RQ_REPLICA_BEAT_OFFSET_BYTES: int
    RQ_REPLICA_FEEDBACK_OFFSET_BYTES: int
    RQ_TAIL_BY_WRITE: int
    RQ_TAIL_BY_IMM: int
    RQ_LINK_OPENING: int
    RQ_LINK_LIVE: int
    RQ_LINK_LAGGING: int
    RQ_LINK_FAILED: int
    RQ_LINK_CLOSED: int
    RQ_LINK_CAUSE_COMPLETION: int
    RQ_LINK_CAUSE_LAGGED: int
    RQ_LINK_CAUSE_STALLED: int
    RQ_LINK_CAUSE_REFUSED: int
    RQ_LINK_CAUSE_NONSENSE: int
    RQ_LINK_CAUSE_STOPPED: int
    RQ_LINK_CAUSE_OVERDUE: int
    RQ_REPLICA_WAITING: int
    RQ_REPLICA_LIVE: int
    RQ_REPLICA_SILENT: int
    RQ_REPLICA_ENDED: int
    RQ_REPLICA_FAILED: int
    RQ_REPLICA_STATUS_DEVICE: int
    RQ_BACKFILL_NOTHING: int
    RQ_BACKFILL_FRAMES: int
    RQ_BACKFILL_GAP: int
    RQ_BACKFILL_REACHED: int
    RQ_BACKFILL_PACED: int
    RQ_BENCH_FRAME_BYTES_MAX: int
    RQ_ACCESS_READ: int
    RQ_ACCESS_WRITE: int
    RQ_ACCESS_ATOMIC: int
    RQ_AREA_BYTES_MAX: int
    RQ_REGION_READ: int
    RQ_REGION_WRITE: int
    RQ_REGION_FETCH_ADD: int
    RQ_REGION_COMPARE_SWAP: int
    RQ_TABLE_FORMAT: int
    RQ_TABLE_LINE_BYTES: int
    RQ_TABLE_PAYLOAD_BYTES: int
    RQ_TABLE_ROW_BYTES_MAX: int
    RQ_SENDS_MAX: int
    RQ_RECEIVES_MAX: int
    RQ_CQ_PAIRS_MAX: int
    RQ_CQ_ENTRIES_MAX: int
    RQ_REQUEST_BYTES_MAX: int
    RQ_OP_WRITE: int
    RQ_OP_WRITE_WITH_IMM: int
    RQ_OP_READ: int
    RQ_OP_FETCH_ADD: int
    RQ_OP_COMPARE_SWAP: int
    RQ_OP_RECEIVE: int
    RQ_OP_PROBE: int
    RQ_OP_BIND: int
    RQ_OP_FENCE: int
    RQ_OP_SOLICITED: int
    RQ_OP_INLINE: int
    RQ_OUTCOME_OK: int
    RQ_OUTCOME_FAILED: int
    RQ_OUTCOME_FLUSHED: int
    RQ_OUTCOME_UNKNOWN: int
    RQ_CHAIN_PIECE_BYTES_MAX: int
    RQ_CHAIN_ALIGN_BYTES: int
    def rq_descriptor_init(
        self,
        descriptor: CData,
        capacity_bytes: int,
        guard_bytes: int,
        record_bytes: int,
        /,
    ) -> int: ...
    def rq_segment_create(self, descriptor: CData, segment_out: CData, fd_out: CData, /) -> int: ...
    def rq_segment_attach(self, fd: int, segment_out: CData, copy_out: CData, /) -> int: ...
    def rq_segment_free(self, segment: CData, /) -> None: ...
    def rq_segment_data(self, segment: CData, /) -> CData: ...
    def rq_publisher_open(
        self,
        segment: CData,
        first_sequence: int,
        timeout_ns: int,
        readers_min: int,
        publisher_out: CData,
        /,
    ) -> int: ...
    def rq_send(self, publisher: CData, data: CData | bytes, payload_bytes: int, /) -> int: ...
    def rq_send_records(
        self,
        publisher: CData,
        data: CData | bytes,
        record_count: int,
        taken: CData,
        /,
    ) -> int: ...
    def rq_send_blocks(
        self,
        publisher: CData,
        blocks: CData | bytes,
        blocks_bytes: int,
        message_count: int,
        first_sequence: int,
        taken: CData,
        /,
    ) -> int: ...
    def rq_send_gap(self, publisher: CData, first: int, last: int, /) -> int: ...
    def rq_send_heartbeat(self, publisher: CData, /) -> int: ...
    def rq_claim(
        self,
        publisher: CData,
        payload_bytes: int,
        data_offset_bytes_out: CData,
        /,
    ) -> int: ...
    def rq_commit(self, publisher: CData, /) -> int: ...
    def rq_abort(self, publisher: CData, /) -> int: ...
    def rq_publisher_wait(self, publisher: CData, payload_bytes: int, wait_ns: int, /) -> int: ...
    def rq_publisher_give_up(self, publisher: CData, /) -> None: ...
    def rq_publisher_admit(
        self,
        publisher: CData,
        start: int,
        start_value: int,
        socket_fd: int,
        control_fd_out: CData,
        position_out: CData,
        sequence_out: CData,
        /,
    ) -> int: ...
    def rq_publisher_dismiss(self, publisher: CData, slot: int, /) -> int: ...
    def rq_publisher_cut_off(self, publisher: CData, slot: int, /) -> int: ...
    def rq_publisher_read_stats(self, publisher: CData, out: CData, /) -> None: ...
    def rq_publisher_close(self, publisher: CData, /) -> int: ...
    def rq_publisher_forget(self, publisher: CData, /) -> None: ...
    def rq_publisher_free(self, publisher: CData, /) -> None: ...
    def rq_keeper_start(self, keeper_out: CData, /) -> int: ...
    def rq_keeper_add(self, keeper: CData, publisher: CData, /) -> int: ...
    def rq_keeper_remove(self, keeper: CData, publisher: CData, /) -> int: ...
    def rq_keeper_stop(self, keeper: CData, /) -> None: ...
    def rq_reader_open(
        self,
        segment: CData,
        control_fd: int,
        slot: int,
        position: int,
        sequence: int,
        deliver_from: int,
        reader_out: CData,
        /,
    ) -> int: ...
    def rq_reader_deliver_from_time(self, reader: CData, wall_ns: int, /) -> None: ...
    def rq_reader_ring_before_sleep(self, reader: CData, keeper: CData, /) -> None: ...
    def rq_reader_poll(
        self,
        reader: CData,
        poll: CData,
        message_count_max: int,
        wait_ns: int,
        /,
    ) -> int: ...
    def rq_reader_borrow(
        self,
        reader: CData,
        poll: CData,
        message_count_max: int,
        wait_ns: int,
        /,
    ) -> int: ...
    def rq_reader_release(self, reader: CData, consume: int, /) -> int: ...
    def rq_reader_arm(self, reader: CData, /) -> int: ...
    def rq_reader_read_stats(self, reader: CData, out: CData, /) -> None: ...
    def rq_reader_wall_ns(self, reader: CData, ticks: int, /) -> int: ...
    def rq_frame_latencies_ns(
        self,
        notes: CData,
        note_count: int,
        received_ticks: int,
        out: CData,
        /,
    ) -> None: ...
    def rq_reader_close(self, reader: CData, /) -> int: ...
    def rq_reader_forget(self, reader: CData, /) -> None: ...
    def rq_reader_free(self, reader: CData, /) -> None: ...
    def rq_clock_ticks(self, /) -> int: ...
    def rq_clock_ticks_to_ns(self, ticks: int, /) -> int: ...
    def rq_clock_ns_per_tick_q32(self, /) -> int: ...
    def rq_clock_calibrate(self, /) -> None: ...
    def rq_clock_kind(self, /) -> int: ...
    def rq_bench_empty(self, /) -> None: ...
    def rq_bench_word_ask(
        self,
        words: CData,
        count: int,
        limit_ns: int,
        elapsed_ns_out: CData,
        /,
    ) -> int: ...
    def rq_bench_word_answer(self, words: CData, count: int, limit_ns: int, /) -> int: ...
    def rq_bench_ping(
        self,
        publisher: CData,
        reader: CData,
        message: CData | bytes,
        message_bytes: int,
        count: int,
        limit_ns: int,
        round_trips_ns_out: CData,
        /,
    ) -> int: ...
    def rq_bench_pong(
        self,
        publisher: CData,
        reader: CData,
        count: int,
        limit_ns: int,
        /,
    ) -> int: ...
    def rq_bench_publish(
        self,
        publisher: CData,
        records: CData | bytes,
        record_count: int,
        record_bytes: int,
        batch_count: int,
        /,
    ) -> int: ...
    def rq_bench_drain(
        self,
        reader: CData,
        out: CData | bytes,
        out_bytes: int,
        message_count_max: int,
        message_count: int,
        /,
    ) -> int: ...
    def rq_bench_plain_bytes(self, capacity_bytes: int, /) -> int: ...
    def rq_bench_plain_map(self, fd: int, capacity_bytes: int, /) -> CData: ...
    def rq_bench_plain_unmap(self, area: CData, capacity_bytes: int, /) -> None: ...
    def rq_bench_plain_write(
        self,
        area: CData,
        shape: CData,
        data: CData | bytes,
        data_bytes: int,
        count: int,
        limit_ns: int,
        /,
    ) -> int: ...
    def rq_bench_plain_read(
        self,
        area: CData,
        shape: CData,
        out: CData | bytes,
        out_bytes: int,
        data_bytes: int,
        count: int,
        limit_ns: int,
        /,
    ) -> int: ...
    def rq_bench_plain_ping(
        self,
        there: CData,
        back: CData,
        shape: CData,
        message: CData | bytes,
        message_bytes: int,
        count: int,
        limit_ns: int,
        round_trips_ns_out: CData,
        /,
    ) -> int: ...
    def rq_bench_plain_pong(
        self,
        there: CData,
        back: CData,
        shape: CData,
        message_bytes: int,
        count: int,
        limit_ns: int,
        /,
    ) -> int: ...
    def rq_link_open(
        self,
        publisher: CData,
        keeper: CData,
        pair: CData,
        setup: CData,
        link_out: CData,
        /,
    ) -> int: ...
    def rq_link_start(self, link: CData, /) -> int: ...
    def rq_link_begin(self, link: CData, position: int, cursor: int, /) -> int: ...
    def rq_link_stop(self, link: CData, /) -> int: ...
    def rq_link_detach(self, link: CData, /) -> int: ...
    def rq_link_close(self, link: CData, /) -> int: ...
    def rq_link_read_stats(self, link: CData, out: CData, /) -> None: ...
    def rq_link_free(self, link: CData, /) -> None: ...
    def rq_replica_open(self, segment: CData, setup: CData, replica_out: CData, /) -> int: ...
    def rq_replica_publisher(self, replica: CData, /) -> CData: ...
    def rq_replica_attach(
        self,
        replica: CData,
        keeper: CData,
        pair: CData,
        credit_count: int,
        /,
    ) -> int: ...
    def rq_replica_detach(self, replica: CData, /) -> int: ...
    def rq_replica_restart(
        self,
        replica: CData,
        generation: int,
        position: int,
        sequence: int,
        /,
    ) -> int: ...
    def rq_replica_learn_origin(self, replica: CData, sequence: int, /) -> None: ...
    def rq_replica_read_stats(self, replica: CData, out: CData, /) -> None: ...
    def rq_replica_reader_cursor(self, replica: CData, /) -> int: ...
    def rq_replica_mark_alive(self, replica: CData, /) -> None: ...
    def rq_replica_close(self, replica: CData, /) -> int: ...
    def rq_replica_forget(self, replica: CData, /) -> None: ...
    def rq_replica_free(self, replica: CData, /) -> None: ...
    def rq_backfill_open(
        self,
        descriptor: CData,
        pair: CData,
        replica: CData,
        setup: CData,
        backfill_out: CData,
        /,
    ) -> int: ...
    def rq_backfill_run(
        self,
        backfill: CData,
        until: int,
        wait_mode: int,
        wait_ns: int,
        report: CData,
        /,
    ) -> int: ...
    def rq_backfill_free(self, backfill: CData, /) -> None: ...
    def rq_bench_chain_ping(
        self,
        pair: CData,
        cq: CData,
        chain: CData,
        count: int,
        limit_ns: int,
        round_trips_ns_out: CData,
        /,
    ) -> int: ...
    def rq_bench_arrivals(
        self,
        readers: CData,
        reader_count: int,
        count: int,
        limit_ns: int,
        ticks_out: CData,
        /,
    ) -> int: ...
    def rq_area_create(
        self,
        data_bytes: int,
        access: int,
        area_out: CData,
        data_fd_out: CData,
        control_fd_out: CData,
        /,
    ) -> int: ...
    def rq_area_attach(
        self,
        data_fd: int,
        control_fd: int,
        data_bytes: int,
        access: int,
        area_out: CData,
        /,
    ) -> int: ...
    def rq_area_data(self, area: CData, /) -> CData: ...
    def rq_area_revoke(self, area: CData, /) -> int: ...
    def rq_area_free(self, area: CData, /) -> None: ...
    def rq_region_open(
        self,
        area: CData,
        access: int,
        socket_fd: int,
        owner_fd: int,
        region_out: CData,
        /,
    ) -> int: ...
    def rq_region_run(
        self,
        region: CData,
        ops: CData,
        count: int,
        bad_index_out: CData,
        /,
    ) -> int: ...
    def rq_region_close(self, region: CData, /) -> int: ...
    def rq_region_forget(self, region: CData, /) -> None: ...
    def rq_region_free(self, region: CData, /) -> None: ...
    def rq_table_bytes(self, row_bytes: int, row_count: int, /) -> int: ...
    def rq_table_update(
        self,
        region: CData,
        shape: CData,
        rows: CData,
        count: int,
        values: CData | bytes,
        bad_index_out: CData,
        /,
    ) -> int: ...
    def rq_table_read(
        self,
        region: CData,
        shape: CData,
        rows: CData,
        count: int,
        out: CData | bytes,
        versions_out: CData,
        note: CData,
        /,
    ) -> int: ...
    def rq_table_judge(
        self,
        shape: CData,
        before: CData | bytes,
        row: CData | bytes,
        after: CData | bytes,
        out: CData | bytes,
        version_out: CData,
        /,
    ) -> int: ...
    def rq_verbs_built(self, /) -> int: ...
    def rq_cq_open(self, setup: CData, cq_out: CData, /) -> int: ...
    def rq_cq_poll(
        self,
        cq: CData,
        done: CData,
        done_count_max: int,
        wait_mode: int,
        wait_ns: int,
        /,
    ) -> int: ...
    def rq_cq_arm(self, cq: CData, /) -> int: ...
    def rq_cq_clear(self, cq: CData, /) -> int: ...
    def rq_cq_read_stats(self, cq: CData, out: CData, /) -> None: ...
    def rq_cq_special(self, cq: CData, /) -> CData: ...
    def rq_cq_close(self, cq: CData, /) -> int: ...
    def rq_cq_drain(self, cq: CData, done: CData, done_count_max: int, wait_ns: int, /) -> int: ...
    def rq_cq_forget(self, cq: CData, /) -> None: ...
    def rq_cq_free(self, cq: CData, /) -> None: ...
    def rq_pair_open(self, cq: CData, setup: CData, pair_out: CData, /) -> int: ...
    def rq_pair_post(self, pair: CData, ops: CData, op_count: int, /) -> int: ...
    def rq_pair_run(self, pair: CData, ops: CData, op_count: int, run: CData, /) -> int: ...
    def rq_pair_probe(self, pair: CData, /) -> int: ...
    def rq_pair_begin_bind(self, pair: CData, token: int, wr_id_out: CData, /) -> int: ...
    def rq_pair_end_bind(self, pair: CData, was_posted: int, /) -> None: ...
    def rq_pair_post_receives(self, pair: CData, receive_count: int, /) -> int: ...
    def rq_pair_grant(self, pair: CData, receive_count: int, /) -> int: ...
    def rq_pair_outstanding(self, pair: CData, /) -> int: ...
    def rq_pair_abandon(self, pair: CData, done: CData, done_count_max: int, /) -> int: ...
    def rq_pair_read_stats(self, pair: CData, out: CData, /) -> None: ...
    def rq_pair_close(self, pair: CData, /) -> int: ...
    def rq_pair_forget(self, pair: CData, /) -> None: ...
    def rq_pair_free(self, pair: CData, /) -> None: ...
    def rq_bench_verbs_ping(
        self,
        pair: CData,
        cq: CData,
        words: CData,
        count: int,
        limit_ns: int,
        round_trips_ns_out: CData,
        /,
    ) -> int: ...
    def rq_bench_verbs_each(
        self,
        pair: CData,
        cq: CData,
        op: CData,
        count: int,
        limit_ns: int,
        times_ns_out: CData,
        /,
    ) -> int: ...
    def rq_bench_verbs_stream(
        self,
        pair: CData,
        cq: CData,
        ops: CData,
        op_count: int,
        depth: int,
        count: int,
        limit_ns: int,
        /,
    ) -> int: ...
    def rq_chain_check(
        self,
        chain: CData,
        ops: CData,
        count: int,
        needs_out: CData,
        bad_index_out: CData,
        /,
    ) -> int: ...
    def rq_chain_fill(
        self,
        chain: CData,
        ops: CData,
        count: int,
        part: CData,
        requests_out: CData,
        /,
    ) -> int: ...
    def rq_chain_take(self, chain: CData, ops: CData, count: int, part: CData, /) -> None: ...
    def rq_fetch_row_bytes(self, row_bytes: int, /) -> int: ...
    def rq_fetch_row_requests(self, row_bytes: int, /) -> int: ...
    def rq_fetch_fill(
        self,
        chain: CData,
        shape: CData,
        rows: CData,
        pending: CData,
        fetch: CData,
        requests_out: CData,
        /,
    ) -> int: ...
    def rq_fetch_judge(
        self,
        shape: CData,
        pending: CData,
        fetch: CData,
        out: CData | bytes,
        versions_out: CData,
        /,
    ) -> int: ...

lib: _Lib
