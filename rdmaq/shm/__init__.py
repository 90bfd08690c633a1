"""Shared memory: segments, and the hand-over of their descriptors between processes."""
