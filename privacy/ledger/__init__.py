"""The ledger of a party: signed entries in an append-only Merkle tree on plain files, and the budget read from it.

Imports nothing here, so that the aggregator can use the store without the accounting.
"""
