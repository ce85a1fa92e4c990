"""Widgets that paint line by line, and only what has changed."""
