"""Streams: publishing into a ring and reading batches out of it."""
