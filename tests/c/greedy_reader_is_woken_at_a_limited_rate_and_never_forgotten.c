/*
 * A reader that asks to be woken at every frame costs its publisher a bounded number of system
 * calls, and a wake that was put off still comes: with no further frame, at the keeper's removal,
 * at the end.
 */
#define _GNU_SOURCE
#include "check.h"

#include <dlfcn.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rdmaq_abi.h"
#include "ring/publisher.h"
#include "ring/wake.h"

enum { CAPACITY_BYTES = 65536, FLOOD = 200000, ROUNDS = 3000, PATIENCE_MS = 30000 };

/* The ring's system calls pass here, before libc's functions: the sender's are counted. */
static _Thread_local uint64_t system_calls;

long syscall(long number, ...) {
    typedef long function(long number, long a, long b, long c, long d, long e, long f);
    static function *of_libc;
    if (of_libc == NULL) of_libc = (function *)(uintptr_t)dlsym(RTLD_NEXT, "syscall");
    long words[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++) words[i] = va_arg(arguments, long);
    va_end(arguments);
    system_calls++;
    return of_libc(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

ssize_t send(int fd, const void *bytes, size_t byte_count, int flags) {
    system_calls++;
    return sendto(fd, bytes, byte_count, flags, NULL, 0);
}

struct scene {
    struct rq_segment *segment;
    struct rq_publisher *publisher;
    struct rq_keeper *keeper;
    struct rq_control *control;
    void *page;
    int sockets[2]; /* the publisher's end, the reader's end */
    int fd, control_fd;
};

static struct scene begin(void) {
    static struct rq_descriptor descriptor;
    struct scene scene;
    uint64_t position, sequence;
    CHECK_EQUAL(rq_descriptor_init(&descriptor, CAPACITY_BYTES, 0, 0), 0);
    CHECK_EQUAL(rq_segment_create(&descriptor, &scene.segment, &scene.fd), 0);
    CHECK_EQUAL(rq_publisher_open(scene.segment, 1, 0, 0, &scene.publisher), 0);
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, scene.sockets), 0);
    CHECK_EQUAL(rq_publisher_admit(scene.publisher, RQ_START_LIVE, 0, scene.sockets[0],
                                   &scene.control_fd, &position, &sequence),
                0);
    scene.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, scene.control_fd, 0);
    CHECK(scene.page != MAP_FAILED);
    scene.control = scene.page;
    CHECK_EQUAL(rq_keeper_start(&scene.keeper), 0);
    CHECK_EQUAL(rq_keeper_add(scene.keeper, scene.publisher), 0);
    return scene;
}

static void end(struct scene *scene) {
    rq_publisher_close(scene->publisher);
    rq_keeper_remove(scene->keeper, scene->publisher);
    rq_keeper_stop(scene->keeper);
    rq_publisher_free(scene->publisher);
    rq_segment_free(scene->segment);
    munmap(scene->page, 4096);
    close(scene->sockets[0]);
    close(scene->sockets[1]);
    close(scene->control_fd);
    close(scene->fd);
}

static uint64_t wakes_of(const struct scene *scene) {
    return atomic_load(&scene->segment->live->counters.wakes);
}

static void ask(const struct scene *scene, uint32_t how) {
    atomic_store(&scene->control->waiting, how);
}

static void send_one(const struct scene *scene) {
    CHECK(rq_send(scene->publisher, (const uint8_t *)"x", 1) > 0);
}

static void flood(const struct scene *scene, int count, uint32_t how) {
    for (int i = 0; i < count; i++) {
        ask(scene, how);
        send_one(scene);
    }
}

static void wakes_are_limited(uint32_t how) {
    struct scene scene = begin();
    system_calls = 0;
    uint64_t before_ticks = rq_clock_ticks();
    flood(&scene, FLOOD, how);
    uint64_t elapsed_ns = rq_clock_ticks_to_ns(rq_clock_ticks() - before_ticks);
    uint64_t wakes = wakes_of(&scene);
    /* The rate is measured anew now and then: 1 % for that. */
    uint64_t wakes_max = RQ_WAKE_CREDIT + 2 + elapsed_ns / RQ_WAKE_INTERVAL_NS * 101 / 100;
    CHECK(wakes <= wakes_max);
    CHECK(wakes >= RQ_WAKE_CREDIT);
    /* Each wake may be followed by a deferral, and that by the keeper's bell: no other call. */
    CHECK(system_calls <= 2 * wakes + 1);
    /* The credit is the sender's to spend; of the wakes behind it some are the keeper's. */
    CHECK(system_calls >= RQ_WAKE_CREDIT);
    end(&scene);
}

static void wait_for_byte(const struct scene *scene) {
    char byte;
    struct pollfd look = {.fd = scene->sockets[1], .events = POLLIN};
    CHECK_EQUAL(poll(&look, 1, PATIENCE_MS), 1);
    CHECK_EQUAL(recv(scene->sockets[1], &byte, 1, 0), 1);
}

static void deferred_wake_comes_without_another_frame(void) {
    struct scene scene = begin();
    flood(&scene, 20000, RQ_WAITING_FUTEX);
    for (int i = 0; i < ROUNDS; i++) {
        ask(&scene, RQ_WAITING_SOCKET);
        send_one(&scene);
        wait_for_byte(&scene);
    }
    end(&scene);
}

static void put_off(const struct scene *scene) {
    while (atomic_load(&scene->publisher->deferred_count) == 0) flood(scene, 1, RQ_WAITING_FUTEX);
    ask(scene, RQ_WAITING_SOCKET);
}

static void removal_and_end_wake_at_once(void) {
    struct scene scene = begin();
    put_off(&scene);
    send_one(&scene);
    CHECK_EQUAL(rq_keeper_remove(scene.keeper, scene.publisher), 0);
    wait_for_byte(&scene);
    CHECK_EQUAL(scene.publisher->deferred_count, 0);
    CHECK_EQUAL(rq_keeper_add(scene.keeper, scene.publisher), 0);
    put_off(&scene);
    CHECK_EQUAL(rq_publisher_close(scene.publisher), 0);
    wait_for_byte(&scene);
    end(&scene);
}

static void dismissed_while_deferred_is_forgotten(void) {
    struct scene scene = begin();
    put_off(&scene);
    CHECK_EQUAL(rq_publisher_dismiss(scene.publisher, 0), 0);
    CHECK_EQUAL(scene.publisher->deferred_count, 0);
    send_one(&scene);
    end(&scene);
}

int main(void) {
    wakes_are_limited(RQ_WAITING_FUTEX);
    wakes_are_limited(RQ_WAITING_SOCKET);
    deferred_wake_comes_without_another_frame();
    removal_and_end_wake_at_once();
    dismissed_while_deferred_is_forgotten();
    return 0;
}
