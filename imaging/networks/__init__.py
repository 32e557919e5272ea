"""Networks that a study may name, and where their first weights come from."""
