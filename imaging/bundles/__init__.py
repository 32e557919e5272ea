"""MONAI Bundles: their network's definition read as data, and a trained network written as one."""
