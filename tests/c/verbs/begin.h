/* How the programs of this folder begin: `PROGRAM [MUTATION [SEED]]`. */
#ifndef RDMAQ_TESTS_BEGIN_H
#define RDMAQ_TESTS_BEGIN_H

#include <stdint.h>

/* Sets the mutation, if the library was built with them; no such name: status 2. Returns SEED. */
uint64_t begin(int argc, char **argv);

#endif
