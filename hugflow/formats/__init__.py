"""Data formats on the local disk: rows as JSON, parquet, JSON lines, compression."""
