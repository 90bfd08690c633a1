"""Confirmed connections over verbs: what the node's side and the caller's have in common."""
