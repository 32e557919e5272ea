"""Why a token cannot be used, and what to do about it; and what it needs first: its library and the PIN."""

from pathlib import Path
from typing import Any

from privacy.channel.files import read_secret
from privacy.errors import ConfigError, IdentityError


def imported() -> Any:
    """The package `pkcs11`, which a program without keys in a token does not need. Raises ConfigError."""
    try:
        import pkcs11
    except ModuleNotFoundError as error:
        raise ConfigError(
            "a key is in a token, and this installation has no 'python-pkcs11'; install collegium[pkcs11]",
            code="token.not_installed",
        ) from error
    return pkcs11


def read_pin(path: Path) -> str:
    """The PIN in a file that only its owner may read. Raises IdentityError."""
    try:
        return read_secret(path).decode().rstrip("\r\n")
    except (IdentityError, UnicodeDecodeError) as error:
        raise IdentityError(
            f"the PIN file {path.name} is missing, not text, or other users may read it; write the PIN into it and run "
            "'chmod 600' on it",
            code="token.pin_file",
        ) from error


def wrong_pin(name: str) -> IdentityError:
    """The PIN of the token `name` was refused."""
    return IdentityError(
        f"the token '{name}' refuses the PIN; correct the PIN file before you try again, as a token locks after a few "
        "wrong ones",
        code="token.wrong_pin",
    )


def refusal(name: str, error: Exception) -> IdentityError:
    """What an error of PKCS#11 means to a person."""
    pkcs11 = imported()
    if isinstance(error, pkcs11.PinLocked | pkcs11.PinExpired):
        return IdentityError(
            f"the PIN of the token '{name}' is locked or expired; set it anew with the token's own tool",
            code="token.locked",
        )
    if isinstance(error, pkcs11.MultipleTokensReturned):
        return IdentityError(
            f"there are several tokens '{name}'; plug in the one that is meant, or rename the other",
            code="token.ambiguous",
        )
    if isinstance(error, pkcs11.MechanismInvalid | pkcs11.DomainParamsInvalid | pkcs11.AttributeValueInvalid):
        return IdentityError(
            f"the token '{name}' cannot do what is needed (Ed25519 and ECDSA with P-256); use one that can",
            code="token.unsuitable",
        )
    return IdentityError(
        f"the token '{name}' is not there or does not answer ({type(error).__name__}); plug it in, check module and "
        "token in pkcs11.yaml, and start again",
        code="token.unavailable",
    )
