"""From files to volumes and images whose geometry and values are right, or to a named rejection.

Nothing is silently made up: what a reader would have to guess (tilt, gaps, mixed series, colours) is
rejected with a code. Nothing here de-identifies.
"""
