"""The shared kernel: what may leave a hospital, and at what price.

Imports nothing of the other packages. `privacy.dp.training` is the only module here that imports torch.
"""
