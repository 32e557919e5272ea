"""What is asked of a report's folder, a module a subject. None writes anything or reaches outside of the folder."""
