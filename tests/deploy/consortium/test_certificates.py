"""What the certificates of a consortium say: whom its CA can name, and what a silo's and an aggregator's are for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from privacy.channel import certificate as profile
from privacy.channel.admission import Request
from privacy.channel.member import Role
from tests.consortium import Consortium

NOW = datetime.now(UTC)


def certificate(consortium: Consortium, request: Request) -> x509.Certificate:
    return profile.parse(consortium.authority.admit(request, NOW).certificate.encode(), "it")


def test_the_ca_can_name_its_own_members_and_nothing_else(consortium: Consortium) -> None:
    ca = consortium.authority.certificate
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    names = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical
    assert names.value.permitted_subtrees == [x509.UniformResourceIdentifier("chest-net")]
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature


def test_a_silos_certificate(consortium: Consortium) -> None:
    made = certificate(consortium, consortium.request(Role.SILO, "st-marys"))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("spiffe://chest-net/silo/st-marys")]
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.not_valid_after_utc - made.not_valid_before_utc <= timedelta(days=366)
    profile.check_issued(made, consortium.authority.certificate)


def test_an_aggregators_certificate(consortium: Consortium) -> None:
    made = certificate(consortium, consortium.request(Role.AGGREGATOR, "hub", ("agg.example.org", "10.0.0.1")))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["agg.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://chest-net/aggregator/hub"]
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_certificate_does_not_outlive_the_ca(tmp_path: Path) -> None:
    founded = NOW - timedelta(days=3600)
    old = Consortium(tmp_path, founded=founded)
    made = certificate(old, old.request(Role.SILO, "st-marys"))
    assert made.not_valid_after_utc == old.authority.certificate.not_valid_after_utc
