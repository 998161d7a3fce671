"""From the YAML of a request file to a validated spec: parser, messages, validation, JSON Schema, policy."""
