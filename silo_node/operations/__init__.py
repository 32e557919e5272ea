"""What hospital IT asks of a silo that is there: what left, how it does, why it does not work, and to stop it."""
