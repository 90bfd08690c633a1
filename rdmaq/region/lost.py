"""What the failure of an operation on a queue pair means to the user of a region."""

from __future__ import annotations

from rdmaq.errors import OperationFailed, PeerGone, RdmaqError, RegionRevoked
from rdmaq.verbs.constants import Status

# The owner's NIC refuses the key: its memory or window was taken back.
_REFUSED = {Status.REM_ACCESS_ERR, Status.REM_INV_REQ_ERR, Status.REM_OP_ERR}
_SILENT = {Status.RETRY_EXC_ERR, Status.RNR_RETRY_EXC_ERR, Status.RESP_TIMEOUT_ERR}


def lost(what: str, error: OperationFailed, *, is_offered: bool | None = None) -> RdmaqError:
    """The error for a region whose queue pair has failed; the pair's own words stand in it.

    Args:
        what: for example "region 'book'".
        error: what the device said.
        is_offered: whether the node says that it offers the region still; None: it was not asked,
            or does not answer.

    Returns:
        RegionRevoked: the owner takes no more operations.
        PeerGone: the owner, or the connection to it, is gone.
    """
    if is_offered is False or (is_offered is None and error.status in _REFUSED):
        return RegionRevoked(
            f"{what} was revoked, and the operation was not done, or of a batch only what came "
            f"before it: {error}; ask the peer for it again, if it is offered again"
        )
    how = "lost its owner" if error.status in _SILENT and not is_offered else "lost its connection"
    return PeerGone(
        f"{what} has {how}, and the operation may or may not have been done: {error}; ask the peer "
        "for it again, or connect again when its process is back"
    )


def again(error: RdmaqError) -> RdmaqError:
    """The same error to be raised by a later call, without the traceback of the first."""
    return type(error)(*error.args)
