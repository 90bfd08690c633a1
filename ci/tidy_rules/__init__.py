"""The rules of ci/tidy.py, one module for each thing that they look at."""
