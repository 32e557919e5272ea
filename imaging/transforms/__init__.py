"""From a stored image and its mask to what a network takes."""
