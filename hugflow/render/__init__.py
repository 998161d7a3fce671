"""Pure renderers, data -> str: what people read, wherever they read it."""
