"""Another process for a test's node."""

from tests.conformance.conftest import child

__all__ = ["child"]
