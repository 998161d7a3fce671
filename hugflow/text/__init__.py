"""Text for output: escaping of unsafe characters, masking of secrets."""
