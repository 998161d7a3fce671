"""What is known of tables before they are published: counts, dates, lists, and quality rules."""
