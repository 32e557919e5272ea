"""The consortium: its CA, its register of members and its study-signing key. An offline tool on plain files."""
