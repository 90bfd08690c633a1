/* The scheduler: a task runs for a random number of steps, then perhaps the other one. */
#include "stepped/stepper.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STACK_BYTES (1 << 18)
#define RUN_STEPS_MAX 12

struct task {
    ucontext_t context;
    const char *name;
    void (*body)(void);
    int is_done;
    int is_asleep;
};

enum rq_mutation rq_mutation;
static ucontext_t scheduler;
static struct task tasks[2] = {{.name = "publisher"}, {.name = "reader"}};
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
    fprintf(stderr, "usage: %s NONE, or a mutation of csrc/ring/mutation.h\n", argv[0]);
    exit(2);
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
    running->is_asleep = 1;
    leave();
}

void rq_step_wake(void) {
    for (int i = 0; i < 2; i++) tasks[i].is_asleep = 0;
}

static void run_task(void) {
    struct task *task = running;
    task->body();
    task->is_done = 1;
    leave();
}

static void prepare(struct task *task, void (*body)(void), uint8_t *stack) {
    task->body = body;
    task->is_done = 0;
    task->is_asleep = 0;
    getcontext(&task->context);
    task->context.uc_stack.ss_sp = stack;
    task->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&task->context, run_task, 0);
}

void stepper_run(uint64_t seed, void (*publisher)(void), void (*reader)(void)) {
    static uint8_t stacks[2][STACK_BYTES];
    seed_now = seed;
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    prepare(&tasks[0], publisher, stacks[0]);
    prepare(&tasks[1], reader, stacks[1]);
    while (!tasks[0].is_done || !tasks[1].is_done) {
        struct task *task = &tasks[random_below(2)];
        if (task->is_done || task->is_asleep) task = task == tasks ? tasks + 1 : tasks;
        if (task->is_done || task->is_asleep) {
            fprintf(stderr, "the %s sleeps, and nobody will wake it\n",
                    tasks[0].is_asleep ? tasks[0].name : tasks[1].name);
            exit(1);
        }
        steps_left = 1 + random_below(RUN_STEPS_MAX);
        running = task;
        swapcontext(&scheduler, &task->context);
    }
    seed_now = 0;
}
