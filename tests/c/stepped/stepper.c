/* The scheduler: a task runs for a random number of steps, then perhaps another one. */
#include "stepped/stepper.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#ifdef RQ_FAKED
#include "verbs/begin.h"
#endif

#define STACK_BYTES (1 << 18)
#define RUN_STEPS_MAX 12
#define PAGE_BYTES 4096u

enum { PUBLISHER, READER, KEEPER, NIC, TASKS };

#define SWITCHES_MAX 1000000

struct task {
    ucontext_t context;
    const char *name;
    void (*body)(void);
    int is_done;
    _Atomic uint32_t *asleep_at; /* NULL: awake */
};

enum rq_mutation rq_mutation;
static ucontext_t scheduler;
static struct task tasks[TASKS] = {
    {.name = "publisher"}, {.name = "reader"}, {.name = "keeper"}, {.name = "NIC"}};
static struct task *running;
static uint64_t random_state;
static uint64_t steps_left;
static uint64_t seed_now;

static uint64_t random_below(uint64_t bound) { /* xorshift64*, by S. Vigna */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717u >> 33) % bound;
}

static void tell_seed(void) {
    if (seed_now != 0) fprintf(stderr, "with seed %" PRIu64 "\n", seed_now);
}

void stepper_begin(int argc, char **argv) {
#define NAME_AND_VALUE(name) {#name, RQ_MUTATION_##name},
    static const struct {
        const char *name;
        enum rq_mutation value;
    } mutations[] = {RQ_MUTATIONS(NAME_AND_VALUE)};
    atexit(tell_seed);
    for (size_t i = 0; argc == 2 && i < sizeof(mutations) / sizeof(mutations[0]); i++) {
        if (strcmp(argv[1], mutations[i].name) != 0) continue;
        rq_mutation = mutations[i].value;
        return;
    }
#ifdef RQ_FAKED
    begin(argc, argv); /* one of csrc/rdma/mutation.h */
#else
    fprintf(stderr, "usage: %s NONE, or a mutation of csrc/ring/mutation.h\n", argv[0]);
    exit(2);
#endif
}

static void leave(void) {
    struct task *task = running;
    running = NULL;
    swapcontext(&task->context, &scheduler);
}

void rq_step(void) {
    if (running != NULL && --steps_left == 0) leave();
}

void stepper_stop_other(void) { steps_left = UINT64_MAX; }

void stepper_resume_other(void) {
    steps_left = 1;
    rq_step();
}

void rq_step_sleep(_Atomic uint32_t *word, uint32_t seen) {
    rq_step();
    if (running == NULL || atomic_load(word) != seen) return;
    running->asleep_at = word;
    leave();
}

/* Publisher and reader have each a mapping of one word: it stands at the same place of its page. */
static int is_same(const _Atomic uint32_t *one, const _Atomic uint32_t *other) {
    return (uintptr_t)one % PAGE_BYTES == (uintptr_t)other % PAGE_BYTES;
}

void rq_step_wake(_Atomic uint32_t *word) {
    for (int i = 0; i < TASKS; i++)
        if (tasks[i].asleep_at != NULL && is_same(tasks[i].asleep_at, word))
            tasks[i].asleep_at = NULL;
}

int rq_step_has_credit(void) { return running == NULL || random_below(2) != 0; }

static void run_task(void) {
    struct task *task = running;
    task->body();
    task->is_done = 1;
    leave();
}

static void prepare(struct task *task, void (*body)(void), uint8_t *stack) {
    task->body = body;
    task->is_done = body == NULL;
    task->asleep_at = NULL;
    if (body == NULL) return;
    getcontext(&task->context);
    task->context.uc_stack.ss_sp = stack;
    task->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&task->context, run_task, 0);
}

static int can_run(const struct task *task) { return !task->is_done && task->asleep_at == NULL; }

/* Somebody who can go on, by the seed; NULL when all are done or asleep. */
static struct task *choose(void) {
    uint64_t first = random_below(TASKS);
    for (uint64_t i = 0; i < TASKS; i++)
        if (can_run(&tasks[(first + i) % TASKS])) return &tasks[(first + i) % TASKS];
    return NULL;
}

static void check_all_done(void) {
    for (int i = 0; i < KEEPER; i++) {
        if (tasks[i].is_done) continue;
        fprintf(stderr, "the %s sleeps, and nobody will wake it\n", tasks[i].name);
        exit(1);
    }
}

int stepper_is_over(void) { return tasks[PUBLISHER].is_done && tasks[READER].is_done; }

void stepper_run_linked(uint64_t seed, void (*publisher)(void), void (*reader)(void),
                        void (*keeper)(void), void (*nic)(void)) {
    static uint8_t stacks[TASKS][STACK_BYTES];
    seed_now = seed;
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    prepare(&tasks[PUBLISHER], publisher, stacks[PUBLISHER]);
    prepare(&tasks[READER], reader, stacks[READER]);
    prepare(&tasks[KEEPER], keeper, stacks[KEEPER]);
    prepare(&tasks[NIC], nic, stacks[NIC]);
    uint64_t switches = 0;
    for (struct task *task = choose(); task != NULL; task = choose()) {
        if (++switches > SWITCHES_MAX) {
            fprintf(stderr, "%s goes round for ever\n", stepper_is_over() ? "the NIC" : "somebody");
            exit(1);
        }
        steps_left = 1 + random_below(RUN_STEPS_MAX);
        running = task;
        swapcontext(&scheduler, &task->context);
    }
    check_all_done();
    seed_now = 0;
}

void stepper_run_kept(uint64_t seed, void (*publisher)(void), void (*reader)(void),
                      void (*keeper)(void)) {
    stepper_run_linked(seed, publisher, reader, keeper, NULL);
}

void stepper_run(uint64_t seed, void (*publisher)(void), void (*reader)(void)) {
    stepper_run_kept(seed, publisher, reader, NULL);
}
