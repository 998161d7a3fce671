"""Benchmarks of Hugflow: ratios, each measured side by side in one run. `python -m benchmarks` runs them all."""

import os

# as the hugflow command does it for its workers: numpy starts no threads for linear algebra
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
