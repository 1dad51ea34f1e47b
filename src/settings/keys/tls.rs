//! Keys of certificates and TLS.

use crate::settings::key::*;

#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    list("ssl_cert", "",
        "Certificates of the proxy's TLS listeners when no certificate entity fits: paths, PEM or base64. Unset: generated under prefix."),
    list("ssl_cert_key", "",
        "Keys of ssl_cert, in the same order.").secret(),
    text("ssl_cipher_suite", "intermediate",
        "modern is TLS 1.3 only, intermediate also TLS 1.2 with forward secrecy; old and custom are treated as intermediate, fips is refused."),
    text("ssl_protocols", "TLSv1.2 TLSv1.3",
        "Versions of TLS clients may use, within those of ssl_cipher_suite."),
    list("admin_ssl_cert", "", "Certificates of the Admin API; unset: generated under prefix."),
    list("admin_ssl_cert_key", "", "Keys of admin_ssl_cert, in the same order.").secret(),
    list("status_ssl_cert", "", "Certificates of the status API; unset: generated under prefix."),
    list("status_ssl_cert_key", "", "Keys of status_ssl_cert, in the same order.").secret(),
    list("admin_gui_ssl_cert", "", "Certificates of Kong Manager.").no_effect(),
    list("admin_gui_ssl_cert_key", "", "Keys of admin_gui_ssl_cert.").secret().no_effect(),
    boolean("client_ssl", "off", "Present client_ssl_cert to upstreams that ask for a certificate."),
    text("client_ssl_cert", "", "Client certificate of client_ssl: a path, PEM text, or base64 of PEM."),
    text("client_ssl_cert_key", "", "Key of client_ssl_cert.").secret(),
    list("lua_ssl_trusted_certificate", "system",
        "Authorities trusted for outgoing TLS: system, paths, PEM or base64."),
    number("lua_ssl_verify_depth", "1",
        "Most intermediate certificates in a chain; fixed by the TLS library here.").no_effect(),
    text("lua_ssl_protocols", "TLSv1.2 TLSv1.3",
        "Versions of TLS of outgoing connections; always 1.2 and 1.3.").no_effect(),
    text("ssl_ciphers", "", "Ciphers of ssl_cipher_suite = custom.").no_effect(),
    text("ssl_dhparam", "", "Diffie-Hellman parameters; such key exchange is not offered.").no_effect(),
    nginx_boolean("ssl_prefer_server_ciphers", "on", "Whose order of ciphers counts.").no_effect(),
    text("ssl_session_cache_size", "10m", "Size of Kong's cache of TLS sessions.").no_effect(),
    nginx_boolean("ssl_session_tickets", "on", "Session tickets.").no_effect(),
    text("ssl_session_timeout", "1d", "Lifetime of TLS sessions.").no_effect(),
];
