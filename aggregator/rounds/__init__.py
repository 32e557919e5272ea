"""The rounds of a study at the aggregator: their states, what moves them, and where each step is made durable."""
