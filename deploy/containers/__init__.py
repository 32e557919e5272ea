"""What makes the two images. This folder is the context of their build; its scripts run then, on the image's Python."""
