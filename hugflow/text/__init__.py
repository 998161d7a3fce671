"""Text that leaves the process: made safe to print, with secrets masked."""
