//! Linking identity and proof-of-possession (RFC 7030 §3.5): whether a CSR was signed for its TLS
//! connection. Otherwise an authorized client could send the CSR of another one, and get a certificate
//! in its own name for the other's key.
//!
//! A CSR is bound by challengePassword, or by estIdentityLinking (RFC 7894 §3.3), which holds the same.
//! If both exist, both must be right. The length of the value distinguishes the bindings.

use super::{Case, Comparison, Outcome, Rule};
use crate::{
    pki::{self, Csr, oid},
    policy::Linking,
    ra::{Error, Peer},
    types::{Binding, BindingKind, Code, Rejection, Unbound},
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// The attributes that hold a binding.
pub(super) const BINDINGS: [(const_oid::ObjectIdentifier, &str); 2] = [
    (oid::CHALLENGE_PASSWORD, "challengePassword"),
    (oid::EST_IDENTITY_LINKING, "estIdentityLinking"),
];

/// Attributes of RFC 7894 §3 that are rejected. This server issues no one-time passwords, and stores no
/// revocation secrets: ignoring such a value would skip a check that the client requested.
const OTHERS: [(const_oid::ObjectIdentifier, &str); 2] = [
    (oid::OTP_CHALLENGE, "otpChallenge (RFC 7894 section 3.1)"),
    (oid::REVOCATION_CHALLENGE, "revocationChallenge (RFC 7894 section 3.2)"),
];

pub(super) const LINKING: Rule = Rule {
    name: "linking",
    reason: "A CSR that holds a channel binding is sent over that connection, so that nobody can send it for another client (RFC 7030 section 3.5).",
    check,
    shows: |case| Comparison {
        got: match (case.linked(), has_binding(case.csr)) {
            (Some(kind), _) => kind.to_string(),
            (None, true) => "a binding that does not count".to_owned(),
            (None, false) => "no binding".to_owned(),
        },
        accepts: match case.rules().linking {
            Linking::Off => "no binding".to_owned(),
            Linking::Optional => "no binding, or that of the connection".to_owned(),
            Linking::Required => "the binding of the connection; any from an RA".to_owned(),
        },
    },
};

/// Whether a CSR has an attribute that holds a channel binding.
#[must_use]
pub fn has_binding(csr: &Csr) -> bool {
    BINDINGS.iter().any(|(oid, _)| csr.has_attribute(*oid))
}

fn check(case: &Case<'_>) -> Result<Outcome, Error> {
    match linked(case.rules().linking, case.csr, case.peer) {
        Ok(Some(kind)) => {
            // The rule is checked once for each case.
            let _ = case.linked.set(kind);
            Ok(Outcome::Passed)
        }
        Ok(None) => Ok(Outcome::NotApplicable("the CSR has no binding and needs none")),
        // An RA forwards CSRs that a device signed for another connection (R-7030-3.7-c).
        Err(Error::Linking(_)) if case.is_ra() => Ok(Outcome::NotApplicable(
            "a registration authority forwards CSRs of other connections",
        )),
        Err(error) => Err(error),
    }
}

/// Checks the binding of a CSR. Returns its kind; `None` if the CSR has none and needs none.
///
/// # Errors
/// [`Error::Linking`]; [`Error::Unacceptable`] if an attribute is malformed or unsupported.
fn linked(linking: Linking, csr: &Csr, peer: &Peer) -> Result<Option<BindingKind>, Error> {
    for (oid, name) in OTHERS {
        if csr.has_attribute(oid) {
            return Err(Error::Unacceptable(Rejection::new(
                Code::CsrUnsupportedAttribute,
                "the CSR has no attribute that requests an unsupported function",
                name,
                "a CSR without this attribute",
            )));
        }
    }
    let mut linked = None;
    for (oid, name) in BINDINGS {
        let unacceptable = |rejection: Rejection| Error::Unacceptable(rejection);
        let values = csr
            .attribute(oid)
            .map_err(|rejection: pki::Error| unacceptable(rejection.rejection().clone()))?;
        let Some(values) = values else { continue };
        let text = pki::challenge(values).map_err(unacceptable)?;
        linked = Some(verify(linking, &text, name, peer).map_err(Error::Linking)?);
    }
    if linked.is_none() && linking == Linking::Required {
        return Err(Error::Linking(Rejection::new(
            Code::LinkingRequired,
            "here the CSR is linked to its TLS connection: it holds the channel binding (RFC 7030 section 3.5)",
            "neither challengePassword nor estIdentityLinking",
            WANTED,
        )));
    }
    Ok(linked)
}

const WANTED: &str = "a new connection, and in challengePassword the base64 of its channel binding: tls-unique in TLS 1.2 (with extended_master_secret), tls-exporter in TLS 1.3";

fn verify(linking: Linking, text: &str, name: &str, peer: &Peer) -> Result<BindingKind, Rejection> {
    let rejected = |code: Code, got: String| {
        Rejection::new(
            code,
            "a CSR that holds a channel binding is sent over the connection of that binding (RFC 7030 section 3.5)",
            format!("in {name} {got}"),
            WANTED,
        )
    };
    if linking == Linking::Off {
        return Err(Rejection::new(
            Code::LinkingOff,
            "this label does not verify channel bindings, so it does not accept them (RFC 7030 section 3.5)",
            name,
            "a CSR without this attribute",
        ));
    }
    let mismatch = |got: String| Err(rejected(Code::LinkingMismatch, got));
    let Some(value) = decoded(text) else {
        return mismatch("invalid base64 (the attribute must not hold a password)".to_owned());
    };
    if let Some(kind) = kind_of(&value, &peer.binding) {
        return Ok(kind);
    }
    match &peer.binding {
        Binding::None(why) => Err(rejected(Code::LinkingNone, format!("a binding, and this connection has none: {}", without(*why)))),
        Binding::Tls13 { .. } => mismatch(match value.len() {
            12 => "12 bytes as of tls-unique, which TLS 1.3 does not have".to_owned(),
            32 => "32 bytes that are not tls-exporter of this connection: those of another one, or a Finished message".to_owned(),
            48 => "48 bytes as of a Finished message; TLS 1.3 is bound by tls-exporter".to_owned(),
            other => format!("{other} bytes; tls-exporter has 32"),
        }),
        Binding::Tls12 { .. } => mismatch(match value.len() {
            12 => "12 bytes that are not tls-unique of this connection".to_owned(),
            32 => "32 bytes that are not tls-exporter of this connection".to_owned(),
            other => format!("{other} bytes; tls-unique has 12"),
        }),
    }
}

/// Decodes the value of an attribute that holds a binding. D-04: some clients end it with a newline.
pub(super) fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let compact: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')).collect());
    STANDARD.decode(compact.as_bytes()).map(Zeroizing::new).ok()
}

/// Returns the kind of this value if it is a binding of the connection.
pub(super) fn kind_of(value: &[u8], binding: &Binding) -> Option<BindingKind> {
    let same = |ours: &[u8]| verify_slices_are_equal(ours, value).is_ok();
    match binding {
        Binding::Tls13 { exporter } | Binding::Tls12 { exporter, .. } if same(&exporter[..]) => {
            Some(BindingKind::TlsExporter)
        }
        Binding::Tls12 { unique, .. } if same(&unique[..]) => Some(BindingKind::TlsUnique),
        Binding::Tls13 { .. } | Binding::Tls12 { .. } | Binding::None(_) => None,
    }
}

const fn without(why: Unbound) -> &'static str {
    match why {
        Unbound::NotWanted => "it began before this server verified bindings",
        Unbound::NoExtendedMasterSecret => "TLS 1.2 without extended_master_secret (RFC 7627)",
        Unbound::Http2 => "HTTP/2 carries many requests; use HTTP/1.1",
        Unbound::NotRecorded => "its handshake could not be followed",
    }
}

/// Spends the connection's binding for a CSR that is accepted.
///
/// # Errors
/// [`Error::Linking`] if it has served before (RFC 9266 §4.1, D-05).
pub(in crate::ra) fn spend(linked: Option<BindingKind>, peer: &Peer) -> Result<(), Error> {
    if linked.is_none() || peer.spent.spend() {
        return Ok(());
    }
    Err(Error::Linking(Rejection::new(
        Code::LinkingSpent,
        "a TLS connection's channel binding serves for one CSR that is accepted (RFC 9266 section 4.1)",
        "a second one",
        "the binding of a new connection",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn peer(binding: Binding) -> Peer {
        let address = ([127, 0, 0, 1], 1).into();
        Peer { address, cipher_bits: 256, chain: None, binding, spent: Arc::default() }
    }

    fn judged(peer: &Peer, value: &[u8]) -> Result<BindingKind, Code> {
        verify(Linking::Optional, &STANDARD.encode(value), "x", peer)
            .map_err(|rejection| rejection.code)
    }

    /// proves: R-9266-4.2-a
    #[test]
    fn each_version_has_its_bindings() {
        let unique = Zeroizing::new([1; 12]);
        let exporter = Zeroizing::new([2; 32]);
        let old = peer(Binding::Tls12 { unique, exporter: exporter.clone() });
        assert_eq!(judged(&old, &[1; 12]), Ok(BindingKind::TlsUnique));
        assert_eq!(judged(&old, &[2; 32]), Ok(BindingKind::TlsExporter));
        let new = peer(Binding::Tls13 { exporter });
        assert_eq!(judged(&new, &[2; 32]), Ok(BindingKind::TlsExporter));
        for wrong in [&[1_u8; 12][..], &[3; 32], &[2; 31], &[2; 48], &[]] {
            assert_eq!(judged(&new, wrong), Err(Code::LinkingMismatch), "{wrong:?}");
        }
        for wrong in [&[2_u8; 12][..], &[1; 32], &[1; 11], &[1; 13]] {
            assert_eq!(judged(&old, wrong), Err(Code::LinkingMismatch), "{wrong:?}");
        }
        for why in [
            Unbound::NotWanted,
            Unbound::NoExtendedMasterSecret,
            Unbound::Http2,
            Unbound::NotRecorded,
        ] {
            let none = peer(Binding::None(why));
            assert_eq!(judged(&none, &[2; 32]), Err(Code::LinkingNone), "{why:?}");
        }
    }

    #[test]
    fn a_rejection_does_not_reveal_the_right_value() {
        let exporter = Zeroizing::new([2; 32]);
        let new = peer(Binding::Tls13 { exporter: exporter.clone() });
        let rejection =
            verify(Linking::Optional, &STANDARD.encode([3; 32]), "x", &new).unwrap_err();
        assert!(!rejection.to_string().contains(&STANDARD.encode(*exporter)));
    }
}
