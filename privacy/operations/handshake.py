"""Who answers at the aggregator's address in TLS, and what keeps calls from coming through where nothing looks wrong.

`look` shows no certificate of ours. One that is not our consortium's is read once more without trusting it, only to say
who issued it, for which names and until when. `why_closed` shows ours, to an aggregator that `look` knew: gRPC's server
closes the line without an alert when it does not take a certificate, and sends settings when it does.
"""

import os
import ssl
from datetime import UTC, datetime

from cryptography import x509

from privacy.channel.certificate import UNREADABLE
from privacy.channel.identity import Identity
from privacy.channel.tls import host_and_port
from privacy.errors import CollegiumError, IdentityError, Unreachable
from privacy.operations import reach
from privacy.token.keys import TokenCertificateKey, prove

CLOSED = "peer.closed"
NO_TLS = "peer.tls"
_EXPIRED, _NOT_YET_VALID = 10, 9  # X509_V_ERR_* of OpenSSL's x509_vfy.h
_OTHER_HOST, _OTHER_ADDRESS = 62, 64
_EXEMPT = (
    "if that is a device of your own network that opens TLS, exempt this address from TLS inspection, or, where that "
    "cannot be, ask the consortium for the one-way mode (one_way_tls); else ask the consortium what answers there"
)


def look(identity: Identity, target: str, proxy: str | None, trusted: bytes | None = None) -> str:
    """Whether it is our consortium's aggregator by TLS 1.3, or the proxy of a one-way line, by HTTP/2.

    Raises IdentityError, Unreachable.
    """
    host, _ = host_and_port(target)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if trusted else ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=(trusted or identity.authority_pem).decode())
    context.set_alpn_protocols(["h2"])
    try:
        with reach.line(target, proxy) as line, context.wrap_socket(line, server_hostname=host) as secured:
            shown = certificate(secured.getpeercert(binary_form=True))
            if secured.selected_alpn_protocol() != "h2":
                raise Unreachable(
                    f"what answers at {target} does not speak HTTP/2, which gRPC needs; have the proxy pass HTTP/2 on,"
                    " or exempt this address from TLS inspection",
                    code="peer.http2",
                )
            way = "one-way line, " if trusted else ""
            days = (shown.not_valid_after_utc - datetime.now(UTC)).days
            return f"{way}{secured.version()}, issued by {_issuer(shown)}, {days} days left"
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(target, proxy, error, trusted) from error
    except OSError as error:
        raise _no_tls(target, proxy, error) from error


def why_closed(identity: Identity, target: str, proxy: str | None, trusted: bytes | None = None) -> Unreachable:
    """Why a call did not come through to an aggregator with which `look` finds nothing wrong.

    Raises:
        CollegiumError: the line broke in between, or the token with our keys does not sign.
    """
    if trusted is not None:
        return Unreachable(
            f"what opens TLS at {target} answers, but no call gets through; it must pass HTTP/2 on to the aggregator's"
            " port for one-way lines, by TLS 1.3, and take the aggregator's certificate",
            code="peer.proxy",
        )
    prove(identity.keys.identity, identity.keys.tls)  # gRPC tells nobody what a token refused
    taken = None if isinstance(identity.keys.tls, TokenCertificateKey) else _takes(identity, target, proxy)
    own = identity.certificate
    dates = f"{own.not_valid_before_utc:%Y-%m-%d %H:%M} to {own.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if taken is False:
        return Unreachable(
            f"{target} is the aggregator, but it closes the line when it sees our certificate; ours is for {dates}, "
            f"and here it is {datetime.now(UTC):%Y-%m-%d %H:%M}: compare this clock with the aggregator's. If both are "
            "right, ask the consortium for a new certificate",
            code=CLOSED,
        )
    return Unreachable(
        f"{target} is the aggregator, but it closes our connection; compare the clocks of both machines (our "
        f"certificate is for {dates}), and have its operator look into its log",
        code=CLOSED,
    )


def _takes(identity: Identity, target: str, proxy: str | None) -> bool:
    """Whether the server goes on after it has seen our certificate."""
    host, _ = host_and_port(target)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=identity.authority_pem.decode())
    context.set_alpn_protocols(["h2"])
    memory = os.memfd_create("certificate")  # `ssl` reads keys from files alone, and this one is on no disk
    try:
        os.write(memory, identity.certificate_pem + identity.tls_key_pem)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    try:
        with reach.line(target, proxy) as line, context.wrap_socket(line, server_hostname=host) as secured:
            return secured.recv(1) != b""
    except TimeoutError:
        return True  # it holds the line
    except OSError:
        return False


def _untrusted(
    target: str, proxy: str | None, error: ssl.SSLCertVerificationError, trusted: bytes | None
) -> CollegiumError:
    whose, renew = (
        ("the proxy that opens TLS", "have its operators renew it")
        if trusted
        else ("the aggregator", "ask the consortium to renew the aggregator's")
    )
    shown = _shown(target, proxy)
    if shown is not None and error.verify_code == _EXPIRED:
        # It is renewed there, and no hospital should have to start its silo again by hand for that.
        return Unreachable(
            f"the certificate of {whose} at {target} expired on {shown.not_valid_after_utc:%Y-%m-%d %H:%M} UTC;"
            f" {renew}, unless this machine's clock is wrong: here it is {datetime.now(UTC):%Y-%m-%d %H:%M}",
            code="peer.certificate_expired",
        )
    if shown is not None and error.verify_code == _NOT_YET_VALID:
        return IdentityError(
            f"the certificate of {whose} at {target} is valid from {shown.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on,"
            f" and here it is {datetime.now(UTC):%Y-%m-%d %H:%M}; set the clock of this machine",
            code="identity.not_yet_valid",
        )
    if shown is not None and error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
        return IdentityError(
            f"the certificate of {whose} at {target} is for {_names(shown)}, and not for the name that was dialled; "
            "dial one of these, or ask the consortium for a certificate with that name",
            code="identity.other_host",
        )
    issuer = "nobody that could be read" if shown is None else _issuer(shown)
    mend = "put the CA certificate of the proxy that opens TLS into proxy-ca.pem" if trusted else _EXEMPT
    return IdentityError(
        f"{target} shows a certificate that we do not take ({error.verify_message}), issued by {issuer}; {mend}",
        code="identity.foreign",
    )


def _no_tls(target: str, proxy: str | None, error: OSError) -> Unreachable:
    if isinstance(error, TimeoutError):
        return Unreachable(
            f"{target} takes the connection and then says nothing; a firewall, load balancer or proxy on the way "
            "passes nothing on, or the program there hangs: ask who runs them",
            code=NO_TLS,
        )
    if (older := _older(target, proxy)) is not None:
        return Unreachable(
            f"{target} does not speak TLS 1.3, which an aggregator does, but {older}; {_EXEMPT}", code=NO_TLS
        )
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return Unreachable(
            f"{target} does not speak TLS 1.3: it closes the connection when TLS begins; check the address, and that "
            "no firewall on the way inspects or filters the line",
            code=NO_TLS,
        )
    return Unreachable(
        f"{target} does not speak TLS: something else answers there; check the address and the port, and that nothing "
        "inspects the line",
        code=NO_TLS,
    )


def _older(target: str, proxy: str | None) -> str | None:
    """Which version before TLS 1.3 is spoken, and who issued what is shown; None for none."""
    context = _trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        with reach.line(target, proxy) as line, context.wrap_socket(line) as secured:
            shown = certificate(secured.getpeercert(binary_form=True))
            return f"{secured.version()}, with a certificate issued by {_issuer(shown)}"
    except (OSError, ValueError, CollegiumError):
        return None


def _shown(target: str, proxy: str | None) -> x509.Certificate | None:
    host, _ = host_and_port(target)
    try:
        with reach.line(target, proxy) as line, _trusting().wrap_socket(line, server_hostname=host) as secured:
            return certificate(secured.getpeercert(binary_form=True))
    except (OSError, ValueError, CollegiumError):
        return None


def _trusting() -> ssl.SSLContext:
    """To read a certificate that is not trusted; nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def certificate(der: bytes | None) -> x509.Certificate:
    """What a stranger shows, once all that is told of it can be read: OpenSSL takes some that `cryptography` does not.

    Raises:
        IdentityError: it cannot.
    """
    try:
        shown = x509.load_der_x509_certificate(der or b"")
        _ = (_issuer(shown), _names(shown), shown.not_valid_after_utc, shown.not_valid_before_utc)
    except UNREADABLE as error:
        raise IdentityError(
            "what is shown there is a certificate that cannot be read; ask who runs what answers there",
            code="identity.malformed",
        ) from error
    return shown


def _issuer(shown: x509.Certificate) -> str:
    return f"'{_printable(shown.issuer.rfc4514_string())}'"


def _names(shown: x509.Certificate) -> str:
    try:
        found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    except (x509.ExtensionNotFound, *UNREADABLE):
        names = []
    return _printable(", ".join(names)) or "no name at all"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:120])
