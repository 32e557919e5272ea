"""A hospital's node: the only place where images, privacy and the network meet."""
