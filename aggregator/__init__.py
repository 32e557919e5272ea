"""The blind adder: it stores ciphertexts, adds them and publishes the sum; it can open nothing.

Imports none of torch, monai, opacus, pydicom or tenseal, and of `privacy` only what holds no key to
a ciphertext (checked by import-linter and by a test that blocks them).
"""
