"""The append-only ledger (RFC 9162 Merkle tree) and the budget filter that reads it."""
