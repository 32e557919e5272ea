"""A silo's part in the rounds of a study: the agent and all that it does between two models."""
