"""What silos read at the aggregator: boards of rounds, keys, heads of ledgers and snapshots. They decide nothing."""
