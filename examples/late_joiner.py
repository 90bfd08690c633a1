"""Who comes late chooses where to start; what the ring holds no more is told as an exact gap."""

import multiprocessing

import rdmaq

COUNT = 5_000


def join(address: str) -> None:
    """A process that comes when nearly all is over."""
    with rdmaq.connect(address) as peer:
        joiners = {
            "live": peer.subscribe("log", start="live"),
            "oldest": peer.subscribe("log", start="oldest"),
            "sequence 1": peer.subscribe("log", start=1),
            "a late sequence": peer.subscribe("log", start=COUNT - 9),
        }
    for name, subscription in joiners.items():
        with subscription:
            lost = [(batch.gap.first, batch.gap.last) for batch in subscription if batch.gap]
            print(f"{name}: {subscription.stats.messages} messages, lost {lost}")


if __name__ == "__main__":
    with rdmaq.Node("local:log") as node:
        log = node.publish("log", capacity="64KiB")  # holds the last 350 or so of these
        for number in range(1, COUNT + 1):
            log.send(b"entry %d" % number + bytes(100))
        joiner = multiprocessing.get_context("spawn").Process(target=join, args=(node.address,))
        joiner.start()
        while log.reader_count < 4 and joiner.is_alive():
            joiner.join(0.01)
        log.send(b"the last entry")
        log.close()
        joiner.join()
