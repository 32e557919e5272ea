"""What runs Collegium: the consortium's ceremony, the sandbox, samples. Nobody imports it."""
