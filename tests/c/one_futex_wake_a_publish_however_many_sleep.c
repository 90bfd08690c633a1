/*
 * Readers of one stream sleep on one word: a publish that finds several of them waiting moves it
 * once, and every one of them is no longer waiting. Who waits by its socket does not need it.
 */
#include "pair.h"

enum { CAPACITY_BYTES = 65536, READERS = 5 };

static uint32_t wake_seq(const struct pair *pair) {
    return atomic_load_explicit(&pair->publisher->live->wake_seq, memory_order_relaxed);
}

static void set_waiting(struct pair *readers, uint32_t waiting) {
    for (int i = 0; i < READERS; i++)
        atomic_store_explicit(&readers[i].reader->control->waiting, waiting, memory_order_relaxed);
}

static void check_nobody_waits(const struct pair *readers) {
    for (int i = 0; i < READERS; i++)
        CHECK_EQUAL(
            atomic_load_explicit(&readers[i].reader->control->waiting, memory_order_relaxed),
            RQ_NOT_WAITING);
}

int main(void) {
    struct pair readers[READERS];
    const uint8_t message[8] = {1};
    pair_open(&readers[0], CAPACITY_BYTES, 0, 0, 0);
    for (int i = 1; i < READERS; i++) {
        readers[i] = readers[0]; /* the same ring and buffers */
        pair_admit(&readers[i], RQ_START_OLDEST, 0);
    }
    uint32_t before = wake_seq(&readers[0]);
    CHECK_EQUAL(rq_send(readers[0].publisher, message, sizeof(message)), 1);
    CHECK_EQUAL(wake_seq(&readers[0]), before);
    set_waiting(readers, RQ_WAITING_FUTEX);
    CHECK_EQUAL(rq_send(readers[0].publisher, message, sizeof(message)), 2);
    CHECK_EQUAL(wake_seq(&readers[0]), before + 1);
    check_nobody_waits(readers);
    set_waiting(readers, RQ_WAITING_SOCKET);
    CHECK_EQUAL(rq_send(readers[0].publisher, message, sizeof(message)), 3);
    CHECK_EQUAL(wake_seq(&readers[0]), before + 1);
    check_nobody_waits(readers);
    for (int i = 1; i < READERS; i++) pair_close_reader(&readers[i]);
    pair_close(&readers[0]);
    return 0;
}
