from tests.softhsm import hsm

__all__ = ["hsm"]
