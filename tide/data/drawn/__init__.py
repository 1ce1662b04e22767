"""Data that a program draws: tasks without end to train on, and a fixed test set of each."""
