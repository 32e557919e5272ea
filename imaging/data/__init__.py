"""Data files of `imaging`, and the scripts that make them."""
