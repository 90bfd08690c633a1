"""Whether a node offers the stream that a subscription asks for."""

from __future__ import annotations

from typing import Any

from rdmaq import errors
from rdmaq.bootstrap.messages import Description, StreamOffer
from rdmaq.stream import refusals
from rdmaq.stream import schema as schemas


def wanted(description: Description, request: dict[str, Any]) -> StreamOffer:
    """The stream that is asked for, as offered.

    Raises:
        StreamNotFound, SchemaMismatch: it is not there, or carries other records.
        UnsupportedTransport: it does not leave its host.
    """
    name = request["stream"]
    offer = next((stream for stream in description.streams if stream.name == name), None)
    if offer is None:
        host = description.identity.hostname
        raise refusals.no_such_stream(name, host, [stream.name for stream in description.streams])
    if offer.guard_bytes == 0:
        raise errors.UnsupportedTransport(
            f"stream {name!r} does not leave its host: its node's release "
            f"({description.release or 'unknown'}) is older than this one; run the same on both"
        )
    if (wanted := request.get("schema")) is not None and wanted != offer.schema:
        actual = schemas.from_text(offer.schema) if offer.schema else None
        schemas.check_wanted(wanted, actual, name)
    return offer
