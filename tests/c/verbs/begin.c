#include "verbs/begin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rdma/mutation.h"

#ifdef RQ_FAKED

enum rq_rdma_mutation rq_rdma_mutation;

static int is_mutation(const char *name) {
#define NAME_AND_VALUE(each) {#each, RQ_RDMA_MUTATION_##each},
    static const struct {
        const char *name;
        enum rq_rdma_mutation value;
    } mutations[] = {RQ_RDMA_MUTATIONS(NAME_AND_VALUE)};
    for (size_t i = 0; i < sizeof(mutations) / sizeof(mutations[0]); i++) {
        if (strcmp(name, mutations[i].name) != 0) continue;
        rq_rdma_mutation = mutations[i].value;
        return 1;
    }
    return 0;
}

#else

static int is_mutation(const char *name) { return strcmp(name, "NONE") == 0; }

#endif

uint64_t begin(int argc, char **argv) {
    if (argc > 1 && !is_mutation(argv[1])) {
        fprintf(stderr, "usage: %s [MUTATION [SEED]]; %s is no mutation of this build\n", argv[0],
                argv[1]);
        exit(2);
    }
    return argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
}
