//! Profiles: the rules for one kind of certificate.

use super::{
    Error,
    demand::{self, Demand},
};
use crate::{
    lint::ProfileLimits,
    pki::{
        self, Csr, CsrAttrsResponse, DistinguishedName, PublicKey, SubjectAltName,
        algorithm::described,
        extension::{self, KeyUsage, Requested},
        oid,
    },
    policy,
    types::{Code, CsrAttribute, KeyKind, ProfileName, Rejection, SanKind},
};
use const_oid::ObjectIdentifier;
use std::{sync::Arc, time::Duration};

/// A profile's rejection of a CSR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The CSR breaks a rule that another CSR of the same client could keep.
    #[error("{0}")]
    Unacceptable(Rejection),
    /// It requests an authority that no request can obtain.
    #[error("{0}")]
    Forbidden(Rejection),
}

impl From<pki::Error> for ProfileError {
    fn from(rejection: pki::Error) -> Self {
        Self::Unacceptable(rejection.rejection().clone())
    }
}

/// The rules for one kind of certificate.
#[derive(Clone, Debug)]
pub struct Profile {
    name: ProfileName,
    rules: policy::ProfileRules,
    demands: Vec<Demand>,
    limits: Arc<ProfileLimits>,
}

/// The content of a certificate that a profile allowed; the CA adds its own fields.
#[derive(Clone, Debug)]
pub struct Content {
    pub(super) profile: ProfileName,
    pub(super) subject: DistinguishedName,
    pub(super) san: Option<SubjectAltName>,
    pub(super) key: PublicKey,
    pub(super) key_usage: KeyUsage,
    pub(super) extended_key_usage: Vec<ObjectIdentifier>,
    pub(super) validity: Duration,
    pub(super) backdate: Duration,
    /// The limits of the profile, for the linter.
    pub(super) limits: Arc<ProfileLimits>,
    dropped: Vec<ObjectIdentifier>,
    key_is_checked: bool,
}

impl Content {
    /// SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn key_sha256(&self) -> [u8; 32] {
        self.key.spki_sha256()
    }

    /// The requested extensions that the certificate does not contain, as text for the event; none
    /// without such extensions.
    #[must_use]
    pub fn dropped_extensions(&self) -> Option<String> {
        let named: Vec<String> = self.dropped.iter().map(|one| described(*one)).collect();
        (!named.is_empty()).then(|| named.join(", "))
    }

    /// The same content for a key that this server generated; none if the key is of another kind
    /// than the profile allowed.
    #[must_use]
    pub fn for_generated_key(self, key: PublicKey) -> Option<Self> {
        (key.kind() == self.key.kind()).then_some(Self { key, key_is_checked: false, ..self })
    }

    /// Checks that the key does not belong to everybody ([`PublicKey::check_strength`]), once.
    /// Nothing is issued without this check; a caller that needs the result earlier can call it
    /// earlier.
    ///
    /// # Errors
    /// [`Error::WeakKey`].
    pub async fn check_key(&mut self) -> Result<(), Error> {
        if self.key_is_checked {
            return Ok(());
        }
        let checked = if matches!(self.key.kind(), KeyKind::Rsa(_)) {
            // Milliseconds: long enough to hold up other connections on this worker.
            let key = self.key.clone();
            let checking = tokio::task::spawn_blocking(move || key.check_strength());
            checking.await.unwrap_or_else(|_| self.key.check_strength())
        } else {
            self.key.check_strength()
        };
        checked.map_err(|weak| Error::WeakKey(weak.rejection().clone()))?;
        self.key_is_checked = true;
        Ok(())
    }
}

impl Profile {
    /// The kinds of key that it accepts; an RSA kind stands for larger ones, too.
    #[must_use]
    pub fn key_kinds(&self) -> &[KeyKind] {
        &self.rules.keys
    }

    /// Builds a profile from its rules and the attributes that a label demands beside them.
    #[must_use]
    pub fn new(
        name: ProfileName,
        rules: policy::ProfileRules,
        attributes: &[CsrAttribute],
    ) -> Self {
        let demands = demand::demands(&rules, attributes);
        let limits = Arc::new(ProfileLimits {
            extended_key_usage: rules.extended_key_usage.clone(),
            keys: rules.keys.clone(),
            san: rules.san.clone(),
            longest: rules.validity.saturating_add(rules.backdate),
        });
        Self { name, rules, demands, limits }
    }

    /// Returns the demands of [`Self::content`], for `/csrattrs`.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn csrattrs(&self) -> der::Result<CsrAttrsResponse> {
        let mut answer = CsrAttrsResponse::default();
        self.demands.iter().try_for_each(|demand| demand.ask(&mut answer))?;
        Ok(answer)
    }

    /// The profile of the server's own certificate. It has serverAuth for clients that check the
    /// host name, and cmcRA for those that authorize the server by its CA (RFC 7030 §3.6.1).
    ///
    /// # Errors
    /// [`ProfileError::Unacceptable`] if a name is not one a certificate may have.
    pub fn of_server(
        name: ProfileName,
        own: &policy::ServerCertificateRules,
        key: PublicKey,
    ) -> Result<Content, ProfileError> {
        let san = SubjectAltName::of_hosts(&own.names, &own.addresses)?;
        san.check(&[SanKind::Dns, SanKind::Ip])?;
        let backdate = Duration::from_secs(300);
        let limits = ProfileLimits {
            extended_key_usage: vec![oid::SERVER_AUTH, oid::CMC_RA],
            keys: vec![own.key],
            san: vec![SanKind::Dns, SanKind::Ip],
            longest: own.validity.saturating_add(backdate),
        };
        Ok(Content {
            profile: name,
            // The names are in the SAN. A common name would only repeat one of them, and is limited
            // to 64 characters, unlike host names.
            subject: DistinguishedName::from_text("CN=estd")?,
            san: Some(san),
            key_usage: default_usage(key.kind()),
            key,
            extended_key_usage: vec![oid::SERVER_AUTH, oid::CMC_RA],
            validity: own.validity,
            backdate,
            limits: Arc::new(limits),
            dropped: Vec::new(),
            key_is_checked: false,
        })
    }

    /// Decides the content of a certificate for this CSR (RFC 7030 §4.2.1).
    ///
    /// Each element of the CSR is copied to the certificate or rejected; none is altered (RFC 5272
    /// §3.1). Two groups of extensions are dropped instead: those that the CA always writes itself
    /// (`WRITTEN_BY_CA`, D-40), and those in the operator's `ignore_extensions`.
    /// [`Content::dropped_extensions`] lists them. So a client can copy all extensions of its
    /// current certificate, as libest does.
    ///
    /// # Errors
    /// [`ProfileError`] naming the first rule that it breaks.
    pub fn content(&self, csr: &Csr) -> Result<Content, ProfileError> {
        self.content_with_names(csr, csr.subject(), csr.san())
    }

    /// The same for a CSR that requests other names than its own (RFC 6402 §2.8). The caller must
    /// check that the client may have them.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn content_with_names(
        &self,
        csr: &Csr,
        subject: &DistinguishedName,
        san: Option<&SubjectAltName>,
    ) -> Result<Content, ProfileError> {
        let kind = csr.key().kind();
        self.demands.iter().try_for_each(|demand| demand.check(csr, subject, san))?;
        check_size(subject, san)?;
        subject.check_as_subject()?;
        if let Some(san) = san {
            san.check(&self.rules.san)?;
        }
        if subject.is_empty() && (san.is_none() || !self.rules.empty_subject) {
            let wanted = if self.rules.empty_subject {
                "a subject, a subjectAltName, or both"
            } else {
                "a subject"
            };
            return Err(ProfileError::Unacceptable(Rejection::of(
                Code::CsrNoName,
                if san.is_some() {
                    "an empty subject"
                } else {
                    "an empty subject and no subjectAltName"
                },
                wanted,
            )));
        }

        let mut key_usage = default_usage(kind);
        let mut extended_key_usage = self.rules.extended_key_usage.clone();
        let mut dropped = Vec::new();
        for asked in csr.extensions() {
            match asked.oid {
                oid::SUBJECT_ALT_NAME => {}
                oid::BASIC_CONSTRAINTS => {
                    reject_ca(asked)?;
                    dropped.push(asked.oid);
                }
                oid::KEY_USAGE => key_usage = usage(kind, &asked.value)?,
                oid::EXTENDED_KEY_USAGE => {
                    extended_key_usage = self.extended_usage(&asked.value)?
                }
                other
                    if WRITTEN_BY_CA.contains(&other)
                        || self.rules.ignore_extensions.contains(&other) =>
                {
                    dropped.push(other);
                }
                other => {
                    return Err(ProfileError::Unacceptable(Rejection::of(
                        Code::CsrUnsupportedExtension,
                        described(other),
                        "a CSR without it; or the operator lists it in ignore_extensions of the profile",
                    )));
                }
            }
        }
        Ok(Content {
            profile: self.name.clone(),
            subject: subject.clone(),
            san: san.cloned(),
            key: csr.key().clone(),
            key_usage,
            extended_key_usage,
            validity: self.rules.validity,
            backdate: self.rules.backdate,
            limits: Arc::clone(&self.limits),
            dropped,
            key_is_checked: false,
        })
    }

    fn extended_usage(&self, value: &[u8]) -> Result<Vec<ObjectIdentifier>, ProfileError> {
        let asked = extension::extended_key_usage(value)?;
        match asked.iter().find(|usage| !self.rules.extended_key_usage.contains(usage)) {
            None => Ok(asked),
            Some(other) => {
                let allowed: Vec<String> =
                    self.rules.extended_key_usage.iter().map(|usage| described(*usage)).collect();
                Err(ProfileError::Forbidden(Rejection::of(
                    Code::CsrExtendedKeyUsage,
                    described(*other),
                    if allowed.is_empty() {
                        "a CSR without extKeyUsage".to_owned()
                    } else {
                        allowed.join(", ")
                    },
                )))
            }
        }
    }
}

/// The extensions that only a CA writes. Requesting them has no effect. basicConstraints is one of
/// them unless it has cA TRUE, which is rejected.
const WRITTEN_BY_CA: [ObjectIdentifier; 5] = [
    oid::AUTHORITY_KEY_IDENTIFIER,
    oid::SUBJECT_KEY_IDENTIFIER,
    oid::CRL_DISTRIBUTION_POINTS,
    oid::AUTHORITY_INFO_ACCESS,
    oid::CERTIFICATE_POLICIES,
];

/// digitalSignature; RSA keys may encipher keys, too (RFC 5280 §4.2.1.3, RFC 8813).
const fn default_usage(kind: KeyKind) -> KeyUsage {
    match kind {
        KeyKind::Rsa(_) => KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::KEY_ENCIPHERMENT),
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => {
            KeyUsage::DIGITAL_SIGNATURE
        }
    }
}

/// Returns the requested key usage if a device's certificate for a key of this kind may have it.
fn usage(kind: KeyKind, value: &[u8]) -> Result<KeyUsage, ProfileError> {
    let asked = KeyUsage::parse(value)?;
    let rejection = |wanted: &KeyUsage| {
        Rejection::new(
            Code::CsrKeyUsage,
            format!(
                "keyUsage fits a key of kind {kind} in the certificate of a device (RFC 5280 section 4.2.1.3)"
            ),
            asked.names().join(", "),
            wanted.names().join(", "),
        )
    };
    let possible = KeyUsage::possible(kind);
    if possible.contains(asked) {
        return Ok(asked);
    }
    let of_a_ca =
        [KeyUsage::KEY_CERT_SIGN, KeyUsage::CRL_SIGN].iter().any(|usage| asked.contains(*usage));
    Err(if of_a_ca {
        ProfileError::Forbidden(rejection(&possible))
    } else {
        ProfileError::Unacceptable(rejection(&possible))
    })
}

/// Bytes of subject and subjectAltName at most: some hundreds of names. More would create a record
/// that no store accepts, and a certificate that few TLS stacks accept.
const MOST_NAMES: usize = 16 * 1024;

fn check_size(
    subject: &DistinguishedName,
    san: Option<&SubjectAltName>,
) -> Result<(), ProfileError> {
    let size = subject.der().len() + san.map_or(0, |san| san.der().len());
    if size <= MOST_NAMES {
        return Ok(());
    }
    Err(ProfileError::Unacceptable(Rejection::of(
        Code::CsrNamesSize,
        format!("{size} bytes"),
        format!("at most {MOST_NAMES} bytes"),
    )))
}

fn reject_ca(asked: &Requested) -> Result<(), ProfileError> {
    if extension::asks_for_ca(&asked.value)? {
        return Err(ProfileError::Forbidden(Rejection::of(
            Code::CsrCa,
            "basicConstraints with cA TRUE",
            "a CSR without basicConstraints, or with cA FALSE",
        )));
    }
    Ok(())
}
