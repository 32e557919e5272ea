"""The blind adder: it stores ciphertexts, adds them and publishes the sum; it can open nothing.

Imports none of torch, monai, opacus, pydicom or tenseal, and of `privacy` only what holds no key to
a ciphertext (checked by import-linter and by a test that blocks them).
"""

import os

# gRPC's core writes its own log to standard error, where a person expects one sentence of ours; an operator who
# looks for a fault sets GRPC_VERBOSITY. It is read when grpc is imported, and therefore set here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

PACKAGES = ("aggregator", "privacy")
"""What an aggregator's code is, for its ledger and for releases."""
