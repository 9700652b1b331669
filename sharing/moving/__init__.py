"""Moving in from another server, and out again."""
