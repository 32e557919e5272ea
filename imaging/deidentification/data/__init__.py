"""Data files of de-identification, and the scripts that make them."""
