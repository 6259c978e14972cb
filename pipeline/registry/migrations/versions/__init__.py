"""One file per schema revision, in order. A released revision is never edited."""
