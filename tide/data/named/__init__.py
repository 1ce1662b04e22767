"""Data sets known by name: where their files are published and lie, fetching, checking and reading them."""
