"""The last value of each symbol, for any number of readers: rows that are never read torn."""

import multiprocessing

import numpy as np

import rdmaq

SYMBOLS, UPDATES = 1000, 2000
Quote = np.dtype([("sequence", "<u8"), ("bid", "<i8", (5,)), ("ask", "<i8", (5,))])


def serve(address: str) -> None:
    """Updates random symbols as fast as it can: five levels each, all of one update."""
    dice = np.random.default_rng(1)
    with rdmaq.Node(address) as node, node.table("quotes", Quote, rows=SYMBOLS) as quotes:
        for n in range(1, UPDATES + 1):
            quotes.update(dice.integers(0, SYMBOLS, 50), (n, n * 10, n * 10 + 1))
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()  # the table lives as long as its node


def main() -> None:
    """Reads all of it again and again; a row that is not whole would show at once."""
    server = multiprocessing.Process(target=serve, args=("local:quotes",))
    server.start()
    with rdmaq.connect("local:quotes", timeout=30).table("quotes", timeout=30) as quotes:
        rows, torn = quotes.read(), 0
        while rows["sequence"].max() < UPDATES:
            rows = quotes.read()
            torn += int((rows["bid"] != rows["sequence"][:, None] * 10).sum())
        newest = rows[rows["sequence"].argmax()]
        print(f"torn: {torn}; the newest bid is {newest['bid'][0]}, its ask {newest['ask'][4]}")
    server.terminate()


if __name__ == "__main__":
    main()
