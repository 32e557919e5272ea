"""Labels of a cohort: a table of values, and masks drawn by people, each placed on its image's own grid or refused.

Knows neither images nor tasks beyond a shape and an affine; what is learned from a label is `imaging.tasks`.
"""
