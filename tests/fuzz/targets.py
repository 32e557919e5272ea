"""All targets by name."""

from tests.fuzz import disk_targets, image_targets, wire_targets

TARGETS = {target.name: target for target in (*wire_targets.TARGETS, *disk_targets.TARGETS, *image_targets.TARGETS)}
