"""Silos watch each other's ledgers: heads that are cosigned, seen and kept, and a ledger that lost entries."""
