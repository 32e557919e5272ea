"""A whole consortium on one machine: the real commands as real processes, on made or given data."""
