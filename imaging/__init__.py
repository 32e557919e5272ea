"""From hospital images to tensors: DICOM, de-identification, cohorts, MONAI transforms, networks, tasks.

Knows no privacy mechanism and nothing of the consortium's network, and imports no other package of Collegium.
"""
