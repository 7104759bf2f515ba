"""TLS with the configured certificate, which can be reloaded while the server runs."""

import ssl
from datetime import datetime

from cryptography import x509

from settings import SettingsError, TlsSettings


def server_context(tls: TlsSettings) -> ssl.SSLContext | None:
    """Return the context of connections, None without a certificate. Raise SettingsError."""
    if tls.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, tls)
    return context


def load_certificate(context: ssl.SSLContext, tls: TlsSettings) -> None:
    """Load certificate and key for new connections. Raise SettingsError."""
    assert tls.certificate is not None
    assert tls.key is not None
    for name, file in (("certificate", tls.certificate), ("key", tls.key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise SettingsError(f"server.tls.{name}: {file}: {error.strerror}") from None
    try:
        # Without a password, OpenSSL would prompt for one on the terminal.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SettingsError(
            f"server.tls: {tls.certificate} and {tls.key} are no certificate with its key: {reason}"
        ) from None


def certificate_expiry(tls: TlsSettings) -> datetime:
    """Return when the certificate expires."""
    assert tls.certificate is not None
    return x509.load_pem_x509_certificate(tls.certificate.read_bytes()).not_valid_after_utc
