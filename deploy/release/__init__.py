"""Makes what is handed to hospitals and operators. Nothing here runs at theirs."""
