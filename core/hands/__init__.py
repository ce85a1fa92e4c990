"""Those beside our own DNS who must be told of a decision and asked whether they carried it out (spec S16, S17, S33)."""
