"""Every number that the documentation states, as a command that measures it."""
