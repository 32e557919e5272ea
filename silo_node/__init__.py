"""A hospital's node: the only place where images, privacy and the network meet."""

import os

# gRPC's core writes its own log to standard error, where a person expects one sentence of ours; an operator who
# looks for a fault sets GRPC_VERBOSITY. It is read when grpc is imported, and therefore set here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# Forked workers never touch gRPC. Its own handlers, which would make its threads whole again in a child, are
# left off: with calls under way they end the child at times (a failed check in its poller, seen under load).
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

PACKAGES = ("imaging", "privacy", "silo_node")
"""What a silo's code is, for its ledger and for releases."""
