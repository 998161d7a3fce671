"""Publishing: local tables, folders and stored datasets become shards, a card and a spec.json, in one commit."""
