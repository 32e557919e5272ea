"""The budget of a cohort as its ledger has it: what was charged, the cap, and whose patients count for whom."""
