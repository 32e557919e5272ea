"""Whether the program in this container works: asks /livez on its unix socket, and ends with 0 or 1.

The engine runs it inside the container, where there is no shell. Standard library only.

Usage: health.py [SOCKET]
"""

import socket
import sys

SOCKET = "/tmp/watch.sock"  # noqa: S108  # a memory-backed /tmp that is the container's own
SECONDS = 4.0
REQUEST = b"GET /livez HTTP/1.0\r\n\r\n"


def alive(path: str) -> bool:
    """Whether the answer at the unix socket is 200."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(path)
            connection.sendall(REQUEST)
            return b" 200 " in connection.makefile("rb").readline(256)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if alive(*sys.argv[1:] or [SOCKET]) else 1)
