"""Whether the program in this container works: asks its unix socket, /livez if nothing is named, and ends with 0 or 1.

The engine runs it inside the container, where there is no shell. Standard library only.

Usage: health.py [SOCKET [PATH]]
"""

import socket
import sys

SOCKET = "/tmp/watch.sock"  # noqa: S108  # a memory-backed /tmp that is the container's own
SECONDS = 4.0


def healthy(address: str = SOCKET, path: str = "/livez") -> bool:
    """Whether the answer at the unix socket is 200."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(address)
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return b" 200 " in connection.makefile("rb").readline(256)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if healthy(*sys.argv[1:]) else 1)
