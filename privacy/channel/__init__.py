"""Who speaks, over what line, and how an error crosses it. Knows no study content and no patient data."""
