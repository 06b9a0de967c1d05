"""From a line of text to its translation, and everything known about it."""
