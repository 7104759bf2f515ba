"""Quantities, flags, time and queries of meter readings: no I/O."""

import os

# Nothing here uses numpy's linear algebra, which would start a thread for each core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
