"""What silos' calls reach first: the service, the port of one-way lines, and whether it is healthy."""
