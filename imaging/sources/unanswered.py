"""Why an archive does not answer: name, connection and TLS, a step each, after DICOM or HTTP did not come to pass.

Both libraries say no more than that to all of it. Nothing of DICOM is sent here.
"""

import socket
import ssl

from imaging.sources.errors import ArchiveUnreachable

SECONDS = 5.0


def why(host: str, port: int, context: ssl.SSLContext | None) -> ArchiveUnreachable | None:
    """What to raise, with a `context` for an archive that is asked in TLS; None where all of these steps go well."""
    try:
        with socket.create_connection((host, port), SECONDS) as line:
            if context is not None:
                with context.wrap_socket(line, server_hostname=host):
                    pass
    except socket.gaierror:
        return ArchiveUnreachable("the archive's name is not known", mend="check host, and this machine's DNS")
    except ConnectionRefusedError:
        return ArchiveUnreachable(
            f"nothing answers at the archive's port {port}: the connection is refused",
            mend="check host and port, that the archive runs, and the firewall",
        )
    except ssl.SSLCertVerificationError as error:
        return ArchiveUnreachable(
            f"the archive's certificate is not taken ({error.verify_message})",
            mend="put into ca the certificate of who issued it, and into host a name that is in it",
        )
    except ssl.SSLError:
        return ArchiveUnreachable(
            f"the archive speaks no TLS at port {port}, or none that is taken here (1.2 or newer)",
            mend="check the port, or ask its operator which one has TLS",
        )
    except TimeoutError:
        return ArchiveUnreachable(
            f"nothing comes from the archive's port {port} within {SECONDS:.0f} s",
            mend="have the firewall let us through, and check host and port",
        )
    except OSError as error:
        return ArchiveUnreachable(
            f"the archive cannot be reached ({error.strerror or 'the line broke'})",
            mend="check this machine's network, host and port",
        )
    return None
