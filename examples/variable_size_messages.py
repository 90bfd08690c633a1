"""Messages of any length: one by one, many in one frame, in place, and as slices of one array."""

import json

import numpy as np

import rdmaq

with (
    rdmaq.Node("local:events") as node,
    node.publish("events", capacity="1MiB") as publisher,
    rdmaq.connect(node.address).subscribe("events") as subscription,
):
    publisher.send(b"")  # an empty message is a message
    orders = [{"id": number, "note": "x" * number} for number in range(100)]
    publisher.send_many(json.dumps(order).encode() for order in orders)  # one frame
    with publisher.claim(100_000) as area:  # filled where the subscribers will read it
        np.frombuffer(area, np.uint8)[:] = 7
    print(f"sent {publisher.stats.messages} messages in {publisher.stats.frames} frames")

    batch = subscription.poll(timeout=1.0)
    assert batch is not None
    sizes = np.diff(batch.offsets)
    print(f"received {len(batch)}, of {sizes.min()} to {sizes.max():,} bytes, in one batch")

    # As bytes, one object each; or without copies, as slices of one uint8 array.
    print("order 3:", json.loads(batch.messages[4]))
    begin, end = batch.offsets[101:103]
    print("the large one sums to", int(batch.data[begin:end].sum()))
