from tests.disk import unwaited, without_fsync

__all__ = ["unwaited", "without_fsync"]
