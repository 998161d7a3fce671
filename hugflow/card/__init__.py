"""Dataset cards (of stored and of published datasets), their front matter, the Hub's rules for them, and spec.json."""
