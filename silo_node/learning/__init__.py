"""What a silo does with its images in a study: task, transforms and network as the study says, and the training."""
