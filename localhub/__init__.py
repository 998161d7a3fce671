"""A small Hugging Face Hub over HTTP, for the demo and the tests."""
