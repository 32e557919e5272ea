"""The attacks that this hospital makes on its own training code, with made-up patients."""
