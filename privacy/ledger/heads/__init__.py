"""A ledger's head for others: as a checkpoint, cosigned by witnesses, remembered by them, and proved against."""
