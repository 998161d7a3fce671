"""Add requests: the run, its shard queue and workers, the conversion of rows, and what completes a dataset."""
