"""Programs built on the public API of rdmaq."""
