"""A counter that many processes raise by one-sided atomics: its owner runs nothing for it."""

import multiprocessing

import numpy as np

import rdmaq

ADDRESS = "local:counter"
Counters = np.dtype([("requests", "<u8"), ("errors", "<u8")])


def work() -> None:
    """Counts a thousand requests, every tenth of them an error."""
    with rdmaq.connect(ADDRESS, timeout=30) as peer, peer.region("counters", timeout=30) as region:
        requests, errors = region.offset_of(0, "requests"), region.offset_of(0, "errors")
        batch = region.batch().fetch_add(requests, 10).fetch_add(errors, 1)
        for _ in range(100):
            batch.run()  # both in one crossing; it returns what stood there before


def main() -> None:
    """Owns the counters, and looks at them when the workers are done."""
    with rdmaq.Node(ADDRESS) as node:
        counters = node.export("counters", np.zeros(1, Counters), access="atomic")
        workers = [multiprocessing.Process(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        print(f"{counters.array['requests'][0]} requests, {counters.array['errors'][0]} errors")


if __name__ == "__main__":
    main()
