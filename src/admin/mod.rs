//! What an operator may ask for. The Unix socket and the commands that work without a running
//! server come through here, so that both do the same.

mod audit;
mod calls;
pub mod check;
mod revoke;
mod users;

pub use calls::Handle;
pub use users::new_password;

use crate::{
    api,
    ca::CaCertificates,
    clock::Clock,
    entropy::Entropy,
    pki::Certificate,
    store::{self, Filter, Issuance, State, Store},
    types::{Label, Serial, Time, escaped},
};
use std::{sync::Arc, time::SystemTime};

/// Why an operator did not get what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The question makes no sense.
    #[error("{seen}: {fault}")]
    Invalid {
        /// What was given.
        seen: String,
        /// What is wrong with it.
        fault: String,
    },
    /// There is no such thing.
    #[error("{0} does not exist")]
    NotFound(String),
    /// There is one already.
    #[error("{0} exists already")]
    Exists(String),
    /// The store.
    #[error(transparent)]
    Store(store::Error),
    /// A fault of this program or of the system's randomness.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// What the operator can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Invalid { .. } => "correct the value and try again",
            Self::NotFound(_) => "list what exists, with estd cert list or estd user list",
            Self::Exists(_) => "choose another name, or remove that one first",
            Self::Store(_) => "see the server's log",
            Self::Internal(_) => "report it",
        }
        .to_owned()
    }

    /// The answer to the call that failed so.
    #[must_use]
    pub fn refusal(&self) -> api::Refusal {
        use api::RefusalKind;
        let kind = match self {
            Self::Invalid { .. } => RefusalKind::Invalid,
            Self::NotFound(_) => RefusalKind::NotFound,
            Self::Exists(_) => RefusalKind::Exists,
            Self::Store(_) => RefusalKind::Unavailable,
            Self::Internal(_) => RefusalKind::Failed,
        };
        api::Refusal { error: self.to_string(), remedy: self.remedy(), kind }
    }
}

impl From<store::Error> for Error {
    fn from(fault: store::Error) -> Self {
        match fault {
            store::Error::NoSuchAccount(name) => {
                Self::NotFound(format!("user \"{}\"", escaped(name).quote()))
            }
            store::Error::AccountExists(name) => {
                Self::Exists(format!("user \"{}\"", escaped(name).quote()))
            }
            other => Self::Store(other),
        }
    }
}

/// Answers operators.
pub struct Admin {
    store: Arc<dyn Store>,
    cas: Vec<CaCertificates>,
    realm: String,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Admin {
    /// Answers from this store and about these CAs. Accounts of Digest are made for `realm`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        cas: Vec<CaCertificates>,
        realm: String,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, cas, realm, clock, entropy }
    }

    /// Lists certificates, a page at a time.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a parameter; [`Error::Store`].
    pub async fn certificates(
        &self,
        query: &api::CertificateQuery,
    ) -> Result<api::Certificates, Error> {
        let now = self.clock.now();
        let filter = filter(query, now)?;
        let after = query.after.as_deref().map(serial).transpose()?;
        let limit = query.limit.unwrap_or(100);
        if !(1..=1000).contains(&limit) {
            return Err(invalid(limit, "the limit is 1 to 1000"));
        }
        let mut found = self.store.list(&filter, after.as_ref(), limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.intent.serial.to_string());
        Ok(api::Certificates {
            certificates: found.iter().map(|one| entry(one, now, false)).collect(),
            next,
        })
    }

    /// Shows one certificate.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text is no serial number; [`Error::NotFound`]; [`Error::Store`].
    pub async fn certificate(&self, text: &str) -> Result<api::CertificateEntry, Error> {
        let serial = serial(text)?;
        let found = self.store.find(&serial).await?;
        let found = found.ok_or_else(|| Error::NotFound(format!("certificate {serial}")))?;
        Ok(entry(&found, self.clock.now(), true))
    }

    /// Shows the CAs.
    #[must_use]
    pub fn cas(&self) -> api::Cas {
        let certificate = |one: &Certificate| api::CaCertificate {
            subject: one.subject().to_string(),
            sha256: one.fingerprint().to_string(),
            serial: one.serial().to_string(),
            not_after: one.not_after().to_string(),
            pem: one.to_pem(),
        };
        let entry = |ca: &CaCertificates| api::CaEntry {
            name: ca.name.to_string(),
            root: certificate(&ca.root),
            issuing: certificate(&ca.issuing),
        };
        api::Cas { cas: self.cas.iter().map(entry).collect() }
    }
}

fn filter(query: &api::CertificateQuery, now: Time) -> Result<Filter, Error> {
    let mut filter = Filter { subject: query.subject.clone(), ..Filter::default() };
    match query.state.as_deref() {
        None => {}
        Some("open") => filter.state = Some(State::Open),
        Some("issued") => filter.state = Some(State::Issued),
        Some("void") => filter.state = Some(State::Void),
        Some("revoked") => filter.state = Some(State::Revoked),
        Some("valid") => {
            filter.state = Some(State::Issued);
            filter.expires_from = Some(now);
        }
        Some("expired") => {
            filter.state = Some(State::Issued);
            filter.expires_before = Some(now);
        }
        Some(other) => {
            return Err(invalid(
                other,
                "the state is open, issued, void, revoked, valid or expired",
            ));
        }
    }
    filter.label = match query.label.as_deref() {
        None => None,
        Some("-") => Some(None),
        Some(label) => Some(Some(parse_label(label)?)),
    };
    if let Some(text) = &query.expires_before {
        let moment: SystemTime = humantime::parse_rfc3339_weak(text)
            .map_err(|_| invalid(text, "a moment is written as 2026-11-21T12:00:00Z"))?;
        let moment = Time::from(moment);
        filter.expires_before =
            Some(filter.expires_before.map_or(moment, |other| other.min(moment)));
    }
    Ok(filter)
}

fn entry(issuance: &Issuance, now: Time, with_pem: bool) -> api::CertificateEntry {
    let intent = &issuance.intent;
    let state = match issuance.state {
        State::Open => "open",
        State::Void => "void",
        State::Revoked => "revoked",
        State::Issued if intent.not_after < now => "expired",
        State::Issued => "valid",
    };
    let pem = (with_pem && !issuance.certificate.is_empty())
        .then(|| Certificate::parse(&issuance.certificate).map(|one| one.to_pem()).ok())
        .flatten();
    api::CertificateEntry {
        serial: intent.serial.to_string(),
        state: state.to_owned(),
        subject: intent.subject.clone(),
        san: intent.san.clone(),
        not_before: intent.not_before.to_string(),
        not_after: intent.not_after.to_string(),
        label: intent.label.as_ref().map(ToString::to_string),
        profile: intent.profile.to_string(),
        ca: intent.ca.to_string(),
        operation: intent.operation.map(|operation| operation.to_string()),
        actor: intent.actor.name.clone(),
        authenticated_by: intent.actor.method.to_string(),
        predecessor: intent.predecessor.as_ref().map(ToString::to_string),
        spki_sha256: intent.spki_sha256.iter().map(|octet| format!("{octet:02x}")).collect(),
        request: intent.request_id.to_string(),
        begun: intent.begun.to_string(),
        ended: issuance.ended.map(|moment| moment.to_string()),
        revoked: issuance.revocation.map(|one| one.at.to_string()),
        revocation_reason: issuance.revocation.map(|one| one.reason.to_string()),
        pem,
    }
}

fn serial(text: &str) -> Result<Serial, Error> {
    text.parse().map_err(|fault| invalid(text, fault))
}

fn parse_label(text: &str) -> Result<Label, Error> {
    text.parse().map_err(|fault| invalid(text, fault))
}

fn invalid(seen: impl ToString, fault: impl ToString) -> Error {
    Error::Invalid { seen: seen.to_string(), fault: fault.to_string() }
}
