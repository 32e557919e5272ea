"""What makes the two images: this folder is the build's context. The scripts run while an image is built, on its Python."""
