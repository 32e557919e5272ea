"""What the aggregator keeps of a study: a database, files of frames beside it, and copies of both."""
