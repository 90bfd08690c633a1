/* What `rdmaq bench` compares itself with: the price of a crossing. */
#include "rdmaq_abi.h"

void rq_bench_empty(void) {}
