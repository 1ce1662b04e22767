"""Comparisons and ablations: many training runs, their progress, and what they say together."""
