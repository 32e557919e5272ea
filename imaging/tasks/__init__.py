"""What a study learns: tasks, the loss of one patient, and metrics that add up under encryption."""
