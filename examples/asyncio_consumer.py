"""Messages in an event loop: no thread, no polling, and the loop's other tasks go on."""

import asyncio
import multiprocessing
import time

import rdmaq

ADDRESS, FLOW = "local:news", rdmaq.reliable(min_readers=1)


def publish(address: str) -> None:
    """Sends a message every 5 ms, two hundred times."""
    with rdmaq.Node(address) as node, node.publish("news", flow=FLOW) as publisher:
        for number in range(200):
            publisher.send(f"item {number}".encode())
            time.sleep(0.005)


async def consume() -> None:
    """Reads to the end of the stream."""
    with rdmaq.connect(ADDRESS, timeout=30).subscribe("news", timeout=30) as news:
        async for batch in news:
            last = batch.messages[-1]
    print(f"{news.stats.messages} messages, the last one {last!r}")


async def main() -> None:
    """Counts meanwhile."""
    consumer, count = asyncio.create_task(consume()), 0
    while not consumer.done():
        await asyncio.sleep(0.05)
        count += 1
    print(f"the loop's other task counted to {count} meanwhile")


if __name__ == "__main__":
    multiprocessing.Process(target=publish, args=(ADDRESS,)).start()
    asyncio.run(main())
