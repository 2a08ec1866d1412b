//! The records of a store.
//!
//! A record's fields stand here and nowhere else: the stored form (`format.rs`) and the line of an export
//! (`transfer/line.rs`) are serde's, of these types. A field that is added needs a default in
//! `format/v1.rs`, and `#[serde(default)]` for the exports of earlier versions: CONTRIBUTING.md.

use super::{Device, Error, Token};
use crate::{
    digest::{Algorithm, Secret},
    telemetry::audit::{Event, EventId},
    types::{
        Actor, CaName, DeviceId, Label, Operation, ProfileName, RequestId, RevocationReason,
        Serial, Time, TokenId,
        form::{self, stored_as_number},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, net::IpAddr, sync::Arc};
use zeroize::Zeroizing;

/// Identifies retries of a request: SHA-256 over requester, label, operation, key, names and
/// requested extensions (RFC 7030 §4.2.3 and D-10). The bytes of the CSR do not count: a client may
/// sign each retry afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(#[serde(with = "form::digest")] pub [u8; 32]);

/// The state of an issuance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Recorded, no certificate yet.
    Open,
    /// The certificate is recorded and may have been delivered.
    Issued,
    /// Recorded, and will never have a certificate.
    Void,
    /// The certificate is recorded and was revoked: it can no longer authenticate or renew.
    Revoked,
}

stored_as_number!(State, 1 = State::Open, 2 = State::Issued, 3 = State::Void, 4 = State::Revoked);

impl State {
    /// The word of an export.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Issued => "issued",
            Self::Void => "void",
            Self::Revoked => "revoked",
        }
    }

    /// Whether a retry returns this issuance: it has a certificate, or may still get one.
    pub(crate) const fn answers_repeats(self) -> bool {
        matches!(self, Self::Open | Self::Issued)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The content to sign, and the facts of its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The certificate's serial number: the record's key.
    pub serial: Serial,
    /// Identifies retries of the request.
    #[serde(alias = "request_key")]
    pub idempotency_key: IdempotencyKey,
    /// End (exclusive) of the retry window: the label's window, but no later than the time when the
    /// certificate is due for renewal.
    #[serde(alias = "repeat_until")]
    pub retry_until: Time,
    /// The TBSCertificate, DER (RFC 5280 §4.1). Shared: copies of the record do not copy it.
    #[serde(with = "form::bytes")]
    pub tbs: Arc<[u8]>,
    /// The CA that signs.
    pub ca: CaName,
    /// The profile it follows.
    pub profile: ProfileName,
    /// The label of the request; none without one.
    pub label: Option<Label>,
    /// The operation of the request; none if the server issued it for itself.
    pub operation: Option<Operation>,
    /// The subject as RFC 4514 text; empty for an empty subject.
    pub subject: String,
    /// The subjectAltName's entries as `dns:…`, `ip:…`, `uri:…`, `email:…`, `other:…`.
    pub san: Vec<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, DER.
    #[serde(with = "form::digest")]
    pub spki_sha256: [u8; 32],
    /// Start of validity.
    pub not_before: Time,
    /// End of validity, inclusive.
    pub not_after: Time,
    /// The requester, and how it authenticated.
    pub actor: Actor,
    /// The certificate that this one renews or rekeys.
    pub predecessor: Option<Serial>,
    /// The id of the request.
    #[serde(rename = "request")]
    pub request_id: RequestId,
    /// When it was recorded.
    pub begun: Time,
    /// The device that it is for, if that is known.
    #[serde(default)]
    pub device: Option<DeviceId>,
    /// The one-time token that was spent for it.
    #[serde(default)]
    pub token: Option<TokenId>,
    /// The proofs of identity that held, in the words of the configuration: `manufacturer:acme`. None
    /// for the server's own certificate, and if the version that recorded it did not keep them.
    #[serde(default)]
    pub proofs: Vec<String>,
    /// The client's address; none for the server's own certificate.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The generation of the CA's key that signs, if the CA counts them.
    #[serde(default)]
    pub ca_generation: Option<u32>,
    /// The partition of the CRL in which its revocation is listed, if the CRL has partitions.
    #[serde(default)]
    pub crl_partition: Option<u32>,
}

impl Intent {
    /// An intent whose other facts are absent, empty or zero: for callers that set those they know,
    /// so that a new field does not concern them.
    #[must_use]
    pub fn blank(serial: Serial, ca: CaName, profile: ProfileName) -> Self {
        let start = Time::from_unix(0);
        Self {
            serial,
            idempotency_key: IdempotencyKey([0; 32]),
            retry_until: start,
            tbs: Arc::default(),
            ca,
            profile,
            label: None,
            operation: None,
            subject: String::new(),
            san: Vec::new(),
            spki_sha256: [0; 32],
            not_before: start,
            not_after: start,
            actor: Actor::anonymous(),
            predecessor: None,
            request_id: RequestId::new([0; 8]),
            begun: start,
            device: None,
            token: None,
            proofs: Vec::new(),
            address: None,
            ca_generation: None,
            crl_partition: None,
        }
    }

    /// Copies all but the TBSCertificate.
    pub(super) fn without_tbs(&self) -> Self {
        Self { tbs: Arc::default(), ..self.clone() }
    }
}

/// The record of a certificate, issued or to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuance {
    /// The content to sign. `tbs` is empty unless the issuance is open: the certificate contains
    /// it.
    pub intent: Intent,
    /// The state.
    pub state: State,
    /// The certificate, DER; empty unless issued or revoked.
    #[serde(with = "form::bytes")]
    pub certificate: Vec<u8>,
    /// When it was issued or voided; none while open.
    pub ended: Option<Time>,
    /// Time and reason of the revocation; none unless revoked.
    pub revocation: Option<Revocation>,
}

/// The entry of a revoked certificate in a CRL or an OCSP response (RFC 5280 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// When it was revoked.
    pub at: Time,
    /// The reason.
    pub reason: RevocationReason,
}

/// An enrollment account: a name and password for HTTP Basic, or for HTTP Digest too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The user name; may be empty (RFC 7030 §3.2.3).
    pub name: String,
    /// The stored form of the password.
    #[serde(rename = "password_hash")]
    pub password: Password,
    /// When it was added.
    pub added: Time,
    /// The labels under which it may enroll; none: all, and without a label.
    pub labels: Option<Vec<Label>>,
    /// When it ends (exclusive); none: never.
    #[serde(default)]
    pub expires: Option<Time>,
}

/// The stored form of an account's password.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// Its argon2id hash, as a PHC string. It cannot be used in place of the password.
    Hash(String),
    /// Secrets from which a proof of the password is recomputed; a hash does not allow that.
    Recomputable(Box<Recomputable>),
}

/// Password-equivalent secrets: each can be used in place of the password in its protocol.
#[derive(Clone, PartialEq, Eq)]
pub struct Recomputable {
    /// The realm of the Digest secrets.
    pub realm: String,
    /// For Digest with SHA-256.
    pub sha256: Secret,
    /// For Digest with MD5, if requested.
    pub md5: Option<Secret>,
    /// The keys of CMC's proofs by a shared secret, if requested.
    pub identity_proof: Option<ProofKeys>,
}

/// The keys of CMC's proofs by a shared secret, with SHA-256 as hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ProofKeys {
    /// SHA-256 of the secret: for linking a proof of possession to an identity, and for an identity
    /// proof without an identification (RFC 5272 §6.2.1, §6.3.1.1).
    pub alone: Zeroizing<[u8; 32]>,
    /// SHA-256 of the secret followed by the account's name: for an identity proof with an
    /// identification (RFC 5272 §6.2.3).
    pub named: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for ProofKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKeys(…)")
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash(_) => "Hash(…)",
            Self::Recomputable(_) => "Recomputable(…)",
        })
    }
}

impl Password {
    /// The prefix of a [`Recomputable`]. No PHC string begins so: a version of estd that knows only
    /// hashes finds an unreadable one, which matches no password.
    const RECOMPUTABLE: &str = "$digest$v=1";

    /// Returns the stored form.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Hash(hash) => hash.clone(),
            Self::Recomputable(kept) => {
                let mut text = format!(
                    "{}$realm={}$sha256={}",
                    Self::RECOMPUTABLE,
                    STANDARD_NO_PAD.encode(&kept.realm),
                    kept.sha256.as_str()
                );
                if let Some(md5) = &kept.md5 {
                    text.push_str("$md5=");
                    text.push_str(md5.as_str());
                }
                if let Some(keys) = &kept.identity_proof {
                    let both = Zeroizing::new([&keys.alone[..], &keys.named[..]].concat());
                    text.push_str("$proof=");
                    text.push_str(&STANDARD_NO_PAD.encode(&*both));
                }
                text
            }
        })
    }

    /// Parses the result of [`Password::text`].
    ///
    /// # Errors
    /// The unreadable part, without its secrets.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix(Self::RECOMPUTABLE) else {
            return Ok(Self::Hash(text.to_owned()));
        };
        let bad = |name: &str| format!("{} whose {name} cannot be read", Self::RECOMPUTABLE);
        let (mut realm, mut sha256, mut md5, mut identity_proof) = (None, None, None, None);
        for part in rest.strip_prefix('$').ok_or_else(|| bad("version"))?.split('$') {
            let (name, value) = part.split_once('=').ok_or_else(|| bad("form"))?;
            let bytes = || STANDARD_NO_PAD.decode(value).map_err(|_| bad(name));
            let secret = |algorithm| Secret::parse(algorithm, value).ok_or_else(|| bad(name));
            match name {
                "realm" => realm = Some(String::from_utf8(bytes()?).map_err(|_| bad(name))?),
                "sha256" => sha256 = Some(secret(Algorithm::Sha256)?),
                "md5" => md5 = Some(secret(Algorithm::Md5)?),
                "proof" => {
                    let both = Zeroizing::new(bytes()?);
                    let (alone, named) = both.split_at_checked(32).ok_or_else(|| bad(name))?;
                    let key =
                        |bytes: &[u8]| bytes.try_into().map(Zeroizing::new).map_err(|_| bad(name));
                    identity_proof = Some(ProofKeys { alone: key(alone)?, named: key(named)? });
                }
                _ => return Err(bad("form")),
            }
        }
        Ok(Self::Recomputable(Box::new(Recomputable {
            realm: realm.ok_or_else(|| bad("realm"))?,
            sha256: sha256.ok_or_else(|| bad("sha256"))?,
            md5,
            identity_proof,
        })))
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        form::decode_text(from, Self::parse)
    }
}

/// A record on its way to another store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An issuance in any state.
    Issuance(Arc<Issuance>),
    /// An account.
    Account(Account),
    /// A committed event and its id.
    Event(EventId, Event),
    /// The name and value of a register: [`super::Registers::compare_and_set`].
    Register(String, Vec<u8>),
    /// A registered device.
    Device(Box<Device>),
    /// A one-time token.
    Token(Box<Token>),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuance(issuance) => write!(f, "issuance {}", issuance.intent.serial),
            Self::Account(account) => write!(f, "account {:?}", account.name),
            Self::Event(id, _) => write!(f, "event {} of writer {}", id.number, id.writer),
            Self::Register(name, _) => write!(f, "register {name:?}"),
            Self::Device(device) => write!(f, "device {}", device.id),
            Self::Token(token) => write!(f, "token {}", token.id),
        }
    }
}

impl Issuance {
    /// Checks a record that was read: a revocation belongs to that state and to no other.
    pub(super) fn checked(self) -> Result<Self, String> {
        if (self.state == State::Revoked) == self.revocation.is_some() {
            return Ok(self);
        }
        Err(format!("it is {} and says otherwise of its revocation", self.state))
    }

    /// Returns the record of this open issuance once it has ended.
    pub(super) fn end(&self, state: State, certificate: Vec<u8>, at: Time) -> Self {
        Self {
            intent: self.intent.without_tbs(),
            state,
            certificate,
            ended: Some(at),
            revocation: None,
        }
    }

    /// Returns the record of this issued certificate once it is revoked. None if it was revoked
    /// before: the first revocation stays.
    pub(super) fn revoke(&self, revocation: Revocation) -> Result<Option<Self>, Error> {
        match self.state {
            State::Revoked => Ok(None),
            State::Issued => Ok(Some(Self {
                state: State::Revoked,
                revocation: Some(revocation),
                ..self.clone()
            })),
            state @ (State::Open | State::Void) => {
                Err(Error::WrongState { serial: self.intent.serial.clone(), state })
            }
        }
    }

    /// Checks that this ended issuance is in `state`: ending it twice in the same way is no error.
    pub(super) fn expect_state(self: Arc<Self>, state: State) -> Result<Arc<Self>, Error> {
        if self.state == state {
            return Ok(self);
        }
        Err(Error::WrongState { serial: self.intent.serial.clone(), state: self.state })
    }
}

impl From<Intent> for Issuance {
    /// An open issuance.
    fn from(intent: Intent) -> Self {
        Self { intent, state: State::Open, certificate: Vec::new(), ended: None, revocation: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_password_is_read_again() {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAA";
        assert_eq!(Password::parse(hash), Ok(Password::Hash(hash.to_owned())));
        let of = |algorithm| Secret::new(algorithm, "a", "plant = 7 $", "secret");
        let least = Recomputable {
            realm: "plant = 7 $".to_owned(),
            sha256: of(Algorithm::Sha256),
            md5: None,
            identity_proof: None,
        };
        let all = Recomputable {
            md5: Some(of(Algorithm::Md5)),
            identity_proof: Some(ProofKeys {
                alone: Zeroizing::new([7; 32]),
                named: Zeroizing::new([8; 32]),
            }),
            ..least.clone()
        };
        for kept in [least, all] {
            let password = Password::Recomputable(Box::new(kept));
            let text = password.text();
            assert_eq!(Password::parse(&text).as_ref(), Ok(&password));
            for end in 0..text.len() - 1 {
                if let Ok(Password::Recomputable(_)) = Password::parse(&text[..end]) {
                    assert!(text[end..].starts_with('$'), "cut at {end}");
                }
            }
            assert!(!format!("{password:?}").contains(of(Algorithm::Sha256).as_str()));
        }
    }
}
