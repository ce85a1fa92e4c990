"""Other people's DNS: a zone whose addresses are kept as decided, and nothing else in it is touched."""
