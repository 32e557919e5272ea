"""What leaves the hospital for the aggregator: one door, and a log that counts every message that goes through it."""
