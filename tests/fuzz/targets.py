"""All targets by name."""

from tests.fuzz import (
    aggregator_targets,
    disk_targets,
    document_targets,
    image_targets,
    intake_targets,
    label_targets,
    state_targets,
    wire_targets,
)

MODULES = (
    wire_targets,
    disk_targets,
    document_targets,
    state_targets,
    aggregator_targets,
    intake_targets,
    image_targets,
    label_targets,
)
TARGETS = {target.name: target for module in MODULES for target in module.TARGETS}
