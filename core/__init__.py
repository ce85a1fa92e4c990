"""What watches, decides and remembers; the parts and their rules are in docs/how-it-works.md."""
