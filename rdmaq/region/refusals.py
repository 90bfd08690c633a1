"""What C's error numbers mean to the user of a region or a table."""

from __future__ import annotations

import errno

from rdmaq import errors
from rdmaq._fast import error_text

ACCESSES = {"read": 1, "write": 3, "atomic": 7}  # RQ_ACCESS_*, each with those before it


def refusal(what: str, code: int, closed: errors.ClosedError) -> errors.RdmaqError:
    """The exception that a negative `code` stands for; `what` is for example "region 'book'"."""
    if code == -errno.ESHUTDOWN:
        return closed
    if code == -errno.ESTALE:
        return errors.RegionRevoked(
            f"{what} was revoked: its owner closed it, or takes no more operations; nothing was "
            "done; ask the peer for it again, if it is offered again"
        )
    if code == -errno.EOWNERDEAD:
        return errors.PeerGone(
            f"{what} has lost its owner: the process that exported it is gone; nothing was done; "
            "connect again when it is back"
        )
    if code == -errno.EBUSY:
        return errors.ConcurrentUse(
            f"another thread is inside {what}: one thread at a time; ask the peer for a handle per "
            "thread, or use a lock of yours"
        )
    if code == -errno.EACCES:
        return errors.RegionAccessError(
            f"{what} does not allow this operation: nothing was done; export it with a wider access"
        )
    if code in (-errno.ERANGE, -errno.EINVAL):
        return errors.RegionBoundsError(
            f"an operation reaches outside of {what} or is not aligned: {error_text(code)}; "
            "nothing was done"
        )
    return errors.RdmaqError(f"{what} refused the call: {error_text(code)}")


def access_error(what: str, access: str, needed: str) -> errors.RegionAccessError:
    """A peer asks for more than the region was exported for."""
    return errors.RegionAccessError(
        f"{what} was exported with access={access!r}: this needs {needed!r}; nothing was done; "
        "its owner must export it so"
    )
