"""Patient-level differential privacy: events, accounting, CSPRNG noise and the training loop."""
