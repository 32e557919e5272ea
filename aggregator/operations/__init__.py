"""What a consortium's operator asks of an aggregator that runs: how far it is, how it does, why it does not work."""
