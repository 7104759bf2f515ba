"""TLS with the configured certificate, which may be renewed while the server runs."""

import ssl
from datetime import datetime

from cryptography import x509

from settings import SettingsError, TlsSettings


def server_context(tls: TlsSettings) -> ssl.SSLContext | None:
    """What connections are wrapped in; None where none is configured. Raises SettingsError."""
    if tls.certificate is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(made, tls)
    return made


def load_certificate(into: ssl.SSLContext, tls: TlsSettings) -> None:
    """Reads certificate and key, for the connections that come from now on."""
    assert tls.certificate is not None
    assert tls.key is not None
    for name, file in (("certificate", tls.certificate), ("key", tls.key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise SettingsError(f"server.tls.{name}: {file}: {error.strerror}") from None
    try:
        # Without a password the library would ask for one on the terminal.
        into.load_cert_chain(tls.certificate, tls.key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SettingsError(
            f"server.tls: {tls.certificate} and {tls.key} are no certificate with its key: {reason}"
        ) from None


def certificate_expiry(tls: TlsSettings) -> datetime:
    """When the certificate ends."""
    assert tls.certificate is not None
    return x509.load_pem_x509_certificate(tls.certificate.read_bytes()).not_valid_after_utc
