"""What a hospital is told of a study, what forbids it, what it costs, and the answer: before anything is trained."""
