"""Request files: YAML parser, validated specs, messages, JSON Schema, policy."""
