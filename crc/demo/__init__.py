"""The demo: the morning of an attack, played on a hub of its own."""
