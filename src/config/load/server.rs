//! `[server]` and `[server.certificate]`.

use super::{DAY, MINUTE, SECOND, ca::ca_name};
use crate::{
    config::{Server, section::Section},
    policy::ServerCertificateRules,
    types::{KeyKind, is_dns_name},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `[server]` with the section inside it: its keys that take a restart, and the others.
pub(super) struct Sections {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) max_connections: usize,
    pub(super) certificate: ServerCertificateRules,
    pub(super) live: Server,
}

pub(super) fn server(section: Section<'_>) -> Sections {
    let timeout = SECOND..=(10 * MINUTE);
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443));
    let listen = section.list(
        "listen",
        vec![everywhere],
        "write it as \"0.0.0.0:8443\" or \"[::]:8443\"",
        |text| text.parse::<SocketAddr>().map_err(|_| "an address and port".to_owned()),
    );
    let twice = listen
        .iter()
        .enumerate()
        .any(|(at, one)| listen.iter().skip(at + 1).any(|other| other == one && one.port() != 0));
    let none = section.strings("listen").is_some_and(|given| given.is_empty());
    if none || twice {
        section.error(
            "listen",
            "got no address, or one twice; expected: each address once",
            "write addresses such as \"0.0.0.0:8443\"",
        );
    }
    let certificate = section.section("certificate");
    let max_connections = section.number("max_connections", 10_000, 1..=1_000_000);
    let live = Server {
        handshake_timeout: section.duration("handshake_timeout", 10 * SECOND, timeout.clone()),
        header_timeout: section.duration("header_timeout", 30 * SECOND, timeout.clone()),
        body_timeout: section.duration("body_timeout", 30 * SECOND, timeout.clone()),
        idle_timeout: section.duration("idle_timeout", 30 * SECOND, timeout.clone()),
        session_tickets: section.boolean("session_tickets", false),
        http2: section.boolean("http2", false),
        max_connections_per_address: section.number(
            "max_connections_per_address",
            1000,
            1..=1_000_000,
        ),
        max_body: section.number("max_body", 65_536, 1024..=1_048_576),
        shutdown_grace: section.duration("shutdown_grace", 30 * SECOND, timeout),
    };
    let own = ServerCertificateRules {
        ca: ca_name(&certificate),
        names: certificate.list(
            "names",
            vec!["localhost".to_owned()],
            "write host names such as \"est.example.com\"",
            |text| {
                is_dns_name(text).then(|| text.to_owned()).ok_or_else(|| "a host name".to_owned())
            },
        ),
        addresses: certificate.list(
            "addresses",
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            "write addresses such as \"192.0.2.1\"",
            |text| text.parse().map_err(|_| "an address".to_owned()),
        ),
        key: certificate.parsed(
            "key",
            KeyKind::P256,
            "choose p-256, p-384, rsa-2048, rsa-3072 or rsa-4096",
        ),
        validity: certificate.duration("validity", 90 * DAY, (60 * MINUTE)..=(3653 * DAY)),
    };
    if own.names.is_empty() && own.addresses.is_empty() {
        certificate.error(
            "names",
            "got neither names nor addresses; expected: one of them in the certificate (RFC 9525 section 4)",
            "add a name or an address",
        );
    }
    if matches!(own.key, KeyKind::P521 | KeyKind::Ed25519) {
        certificate.error(
            "key",
            format!("got {}; expected: a kind of key that every TLS client knows", own.key),
            "choose p-256, p-384, rsa-2048, rsa-3072 or rsa-4096",
        );
    }
    certificate.finish();
    section.finish();
    Sections { listen, max_connections, certificate: own, live }
}
