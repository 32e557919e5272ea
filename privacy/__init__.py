"""The shared kernel: what may leave a hospital, and at what price.

Imports nothing of the other packages. Only `privacy.dp.training` and `privacy.dp.preflight` import torch.
"""
