"""Facts of tables before they are published: counts, date range, distinct lists, broken quality rules."""
