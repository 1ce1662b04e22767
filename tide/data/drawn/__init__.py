"""Data that a program draws: parity, sorting, mazes, questions over digits. A generator alone decides what is drawn."""
