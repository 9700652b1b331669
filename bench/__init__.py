"""Measurements beside named limits and peers; each writes bench/results/NAME.json."""
