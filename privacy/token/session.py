"""One token of this process: making keys that cannot be exported, signing with them, destroying them.

The only file that speaks PKCS#11 (version 2.40, with Ed25519 as in 3.0). The PIN is read and shown to the token when a
key is first used, not before. A token that is pulled out ends the call that needs it with a typed error; when it is
back the next call works. Every signature is verified before it is given away, so that another key in the place of
ours, or a token that fails, is never believed. One thread is let in at a time.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from privacy.errors import IdentityError
from privacy.token.description import Algorithm, KeyReference, TokenDescription
from privacy.token.refusals import imported, read_pin, refusal, wrong_pin

if TYPE_CHECKING:
    from pkcs11 import PrivateKey, Session

_CURVE: Final[dict[Algorithm, str]] = {"ed25519": "1.3.101.112", "p256": "secp256r1"}
_POINT_BYTES: Final[dict[Algorithm, int]] = {"ed25519": 32, "p256": 65}
_PROBE = b"collegium: is the key in the token?"
"""Begins otherwise than anything that these keys sign for somebody."""
_LAST_TRY = 0x00020000  # CKF_USER_PIN_FINAL_TRY
_lock = threading.RLock()
"""PKCS#11 modules are asked by one thread at a time, whatever they promise."""

ResultT = TypeVar("ResultT")


def public_of(reference: KeyReference) -> Ed25519PublicKey | ec.EllipticCurvePublicKey:
    """The public key that a reference names.

    Raises:
        IdentityError: it is no point of its curve.
    """
    raw = bytes.fromhex(reference.public_key)
    try:
        if reference.algorithm == "ed25519":
            return Ed25519PublicKey.from_public_bytes(raw)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    except ValueError as error:
        raise IdentityError(
            "a key file names no public key; restore it from your backup", code="identity.damaged_key"
        ) from error


class Token:
    """One token; got by `token_of`, as a process logs in to a token once."""

    def __init__(self, description: TokenDescription) -> None:
        self.description = description
        self._session: Session | None = None
        self._keys: dict[KeyReference, PrivateKey] = {}
        self._refused_pin: str | None = None

    def generate(self, algorithm: Algorithm, use: str) -> KeyReference:
        """Make a key that cannot leave the token, labelled with what it is for.

        Raises:
            IdentityError: the token is not there, refuses, or cannot make such a key.
        """
        label, identifier = f"{self.description.key_label}-{use}", token_hex(16)

        def make(session: "Session") -> KeyReference:
            from pkcs11 import Attribute, KeyType, Mechanism
            from pkcs11.util.ec import encode_named_curve_parameters

            edwards = algorithm == "ed25519"
            public, _ = session.create_domain_parameters(
                KeyType.EC_EDWARDS if edwards else KeyType.EC,
                {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVE[algorithm])},
                local=True,
            ).generate_keypair(
                mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else Mechanism.EC_KEY_PAIR_GEN,
                store=True,
                label=label,
                id=bytes.fromhex(identifier),
                private_template={
                    Attribute.PRIVATE: True,
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                    Attribute.DERIVE: False,
                },
            )
            # The point as such, or in a DER octet string: tokens differ, the last bytes do not.
            point = public[Attribute.EC_POINT][-_POINT_BYTES[algorithm] :]
            return KeyReference(algorithm=algorithm, label=label, id=identifier, public_key=point.hex())

        with _lock:
            reference = self._do(make, writing=True)
            self.prove(reference)
        return reference

    def sign(self, reference: KeyReference, data: bytes) -> bytes:
        """Sign: Ed25519 over `data`, 64 bytes; or ECDSA with SHA-256, in DER.

        Raises:
            IdentityError: the token is not there or refuses, or the key in it is not the one that is named.
        """

        def make(session: "Session") -> bytes:
            from pkcs11 import Mechanism

            key: Any = self._key(session, reference)
            if reference.algorithm == "ed25519":
                return bytes(key.sign(data, mechanism=Mechanism.EDDSA))
            pair = bytes(key.sign(sha256(data).digest(), mechanism=Mechanism.ECDSA))
            return encode_dss_signature(int.from_bytes(pair[:32]), int.from_bytes(pair[32:]))

        with _lock:
            signature = self._do(make)
        public = public_of(reference)
        try:
            if isinstance(public, Ed25519PublicKey):
                public.verify(signature, data)
            else:
                public.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise IdentityError(
                f"the key '{reference.label}' in the token is not the one that was made here; find out who replaced it",
                code="token.other_key",
            ) from error
        return signature

    def prove(self, reference: KeyReference) -> None:
        """Have something signed, which shows that the token is there and has this key, as `sign`."""
        self.sign(reference, _PROBE)

    def destroy(self, reference: KeyReference) -> None:
        """Destroy both halves of a key in the token; one that is gone already is no error.

        Raises:
            IdentityError: the token is not there or refuses.
        """

        def remove(session: "Session") -> None:
            for found in list(session.get_objects(_template(reference))):
                found.destroy()

        with _lock:
            self._keys.pop(reference, None)
            self._do(remove, writing=True)

    def destroy_all(self, *uses: str) -> None:
        """Destroy all keys that were made for these uses, also such that no file names any more.

        Raises:
            IdentityError: the token is not there or refuses.
        """
        from pkcs11 import Attribute

        def remove(session: "Session") -> None:
            for use in uses:
                for found in list(session.get_objects({Attribute.LABEL: f"{self.description.key_label}-{use}"})):
                    found.destroy()

        with _lock:
            self._keys.clear()
            self._do(remove, writing=True)

    def refuse_used_label(self) -> None:
        """Check that no key of the token has a label of ours yet.

        Raises:
            IdentityError: one has; or the token is not there or refuses.
        """

        def labels(session: "Session") -> set[str]:
            return {str(found.label) for found in session.get_objects() if hasattr(found, "label")}

        ours = f"{self.description.key_label}-"
        with _lock:
            used = any(label.startswith(ours) for label in self._do(labels))
        if used:
            raise IdentityError(
                f"the token has keys whose label begins with '{ours}' already; choose another key_label",
                code="token.label_used",
            )

    def forget(self) -> None:
        """Let go of the session, without a word to the token."""
        self._session = None
        self._keys.clear()

    # ---- sessions

    def _do(self, work: "Callable[[Session], ResultT]", *, writing: bool = False) -> ResultT:
        """Work in a session, opened anew when there is none or the present one broke."""
        pkcs11 = imported()
        try:
            if self._session is not None and (self._session.rw or not writing):
                with suppress(pkcs11.PKCS11Error):
                    return work(self._session)
            return work(self._opened(writing))
        except pkcs11.PKCS11Error as error:
            self.forget()
            raise refusal(self.description.token, error) from error

    def _opened(self, writing: bool) -> "Session":
        """A new session, logged in. The module is started again: it may not have noticed what was plugged in since."""
        pin = read_pin(Path(self.description.pin_file))
        if pin == self._refused_pin:
            # Handshakes are tried again by themselves, and a token locks after a few wrong PINs.
            raise wrong_pin(self.description.token)
        for other in _tokens.values():
            if other.description.module == self.description.module:
                other.forget()
        pkcs11 = imported()
        module = pkcs11.lib(self.description.module)
        module.reinitialize()
        token = module.get_token(token_label=self.description.token)
        if int(token.flags) & _LAST_TRY:
            raise IdentityError(
                f"one wrong PIN more locks the token '{self.description.token}', so none is tried; log in with its own "
                "tool first",
                code="token.last_try",
            )
        try:
            self._session = token.open(rw=writing, user_pin=pin)
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
            self._refused_pin = pin
            raise wrong_pin(self.description.token) from error
        self._refused_pin = None
        return self._session

    def _key(self, session: "Session", reference: KeyReference) -> "PrivateKey":
        from pkcs11 import Attribute, ObjectClass

        known = self._keys.get(reference)
        if known is not None:
            return known
        found = list(session.get_objects({**_template(reference), Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
        if len(found) != 1:
            raise IdentityError(
                f"the token '{self.description.token}' has {len(found) or 'no'} keys '{reference.label}' with the "
                "number in its key file; plug in the token that the key was made in",
                code="token.no_key",
            )
        key: Any = found[0]
        if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE] or not key[Attribute.NEVER_EXTRACTABLE]:
            raise IdentityError(
                f"the key '{reference.label}' can be, or once could be, taken out of the token; join with a new one, "
                "made in the token by 'init'",
                code="token.extractable",
            )
        self._keys[reference] = key
        return self._keys[reference]


def _template(reference: KeyReference) -> dict[Any, Any]:
    from pkcs11 import Attribute

    return {Attribute.LABEL: reference.label, Attribute.ID: bytes.fromhex(reference.id)}


_tokens: dict[TokenDescription, Token] = {}


def token_of(description: TokenDescription) -> Token:
    """The token that a description names; nothing is asked of it yet."""
    return _tokens.setdefault(description, Token(description))


def _forget_in_child() -> None:
    # PKCS#11 (2.40, section 5.4): a forked child must start anew and must not use its parent's sessions.
    global _lock
    _lock = threading.RLock()
    for token in _tokens.values():
        token.forget()


os.register_at_fork(after_in_child=_forget_in_child)
