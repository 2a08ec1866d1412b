//! Who asks: TLS client certificate, HTTP Basic, or both (RFC 7030 §3.2.3, §3.3.2).

use super::password;
use crate::{
    config::Authentication,
    pki::Certificate,
    store::{self, Account, Issuance, Store},
    types::{Actor, Fault, Label, Method, Peer, Time, TrustClass, Verdict},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// User name and password from HTTP Basic (RFC 7617 §2).
#[derive(Clone)]
pub struct Credentials {
    /// The user name; may be empty (RFC 7030 §3.2.3).
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A client whose claims were checked.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who, and how that is known.
    pub actor: Actor,
    /// The trusted certificate that it showed, and which database trusts it.
    pub certificate: Option<(Certificate, TrustClass)>,
    /// The record of that certificate, if this server issued it and an explicit anchor vouches for
    /// it. It was not revoked.
    pub record: Option<Arc<Issuance>>,
}

/// Why nobody is authenticated.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// A password could help: 401 with a challenge (R-7030-3.2.3-d).
    #[error("{0}")]
    Challenge(Fault),
    /// Only a certificate could help, and none or a bad one was shown: 403 (D-24).
    #[error("{0}")]
    CertificateNeeded(Fault),
    /// The accounts cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The certificate that would do becomes valid later: this server's clock is wrong, or was
    /// when it was issued.
    #[error("{0}")]
    NotYetValid(Fault),
    /// Too many passwords are being checked at once.
    #[error("too many passwords are being checked")]
    Busy,
}

/// Authenticates clients.
pub struct Authenticator {
    store: Arc<dyn Store>,
    /// Each check takes 19 MiB and a core for tens of milliseconds: as many as there are cores.
    checks: Arc<Semaphore>,
    /// Those that may wait for a core; more are turned away.
    waiting: Arc<Semaphore>,
    /// What the checks work in: never more of them than checks at once.
    memories: Arc<Mutex<Vec<password::Memory>>>,
}

/// The certificate's part of an authentication.
enum Shown {
    Nothing,
    Trusted(Box<Certificate>, TrustClass, Option<Arc<Issuance>>),
    NotYet(Fault),
    Bad(Fault),
}

impl Authenticator {
    /// Checks passwords against the accounts of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            store,
            checks: Arc::new(Semaphore::new(cores)),
            waiting: Arc::new(Semaphore::new(cores * 32)),
            memories: Arc::default(),
        }
    }

    /// Finds out who asks, by what `demand` accepts. A password that is sent has to be right,
    /// also where a certificate would do.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub async fn authenticate(
        &self,
        demand: Authentication,
        label: Option<&Label>,
        peer: &Peer,
        credentials: Option<&Credentials>,
        now: Time,
    ) -> Result<Identity, Unauthenticated> {
        use Authentication::{Both, Certificate as ByCertificate, Either, Password};
        let shown = if demand == Password { Shown::Nothing } else { shown(peer, now) };
        let shown = self.look_up(shown).await?;
        let credentials = credentials.filter(|_| demand != ByCertificate);
        if let (Both | ByCertificate, Shown::NotYet(fault)) = (demand, &shown) {
            return Err(Unauthenticated::NotYetValid(fault.clone()));
        }
        if let (Both, Shown::Nothing | Shown::Bad(_))
        | (ByCertificate, Shown::Nothing | Shown::Bad(_)) = (demand, &shown)
        {
            return Err(Unauthenticated::CertificateNeeded(shown.fault()));
        }
        let account = match credentials {
            Some(credentials) => Some(self.check(label, credentials).await?),
            None => None,
        };
        match (shown, account) {
            (Shown::Trusted(certificate, class, record), Some(account)) => Ok(Identity {
                actor: Actor {
                    name: format!("{} [{}]", certificate.subject(), account.name),
                    method: Method::CertificateAndPassword(class),
                },
                certificate: Some((*certificate, class)),
                record,
            }),
            (Shown::Trusted(certificate, class, record), None)
                if matches!(demand, ByCertificate | Either) =>
            {
                Ok(Identity {
                    actor: Actor {
                        name: certificate.subject().to_string(),
                        method: Method::Certificate(class),
                    },
                    certificate: Some((*certificate, class)),
                    record,
                })
            }
            (_, Some(account)) => Ok(Identity {
                actor: Actor { name: account.name, method: Method::Password },
                certificate: None,
                record: None,
            }),
            (Shown::NotYet(fault), None) => Err(Unauthenticated::NotYetValid(fault)),
            (shown, None) => Err(Unauthenticated::Challenge(match demand {
                Either => shown.fault(),
                _ => no_password(),
            })),
        }
    }

    /// Finds the record of a certificate that may be one of this server's. One that was revoked
    /// proves nothing (R-7030-3.3.2-c), whoever asks and for what.
    async fn look_up(&self, shown: Shown) -> Result<Shown, Unauthenticated> {
        let Shown::Trusted(certificate, class, _) = shown else { return Ok(shown) };
        let record = self.store.find(certificate.serial()).await?;
        let record = record.filter(|record| record.certificate == certificate.der());
        if let Some(revocation) = record.as_ref().and_then(|record| record.revocation) {
            return Ok(bad(&format!(
                "one that was revoked at {}: {}",
                revocation.at, revocation.reason
            )));
        }
        // What only a third party's anchor vouches for has no rights as one of ours.
        let record = record.filter(|_| class == TrustClass::Explicit);
        Ok(Shown::Trusted(certificate, class, record))
    }

    async fn check(
        &self,
        label: Option<&Label>,
        credentials: &Credentials,
    ) -> Result<Account, Unauthenticated> {
        let wrong = || {
            Unauthenticated::Challenge(Fault::new(
                "auth.password",
                "user name and password are those of an enrolment account",
                "others",
                "an account of this server (operator: estd user list)",
            ))
        };
        if credentials.password.is_empty() || credentials.password.len() > password::MAX_PASSWORD {
            return Err(wrong());
        }
        let _place = self.waiting.try_acquire().map_err(|_| Unauthenticated::Busy)?;
        let account = self.store.account(&credentials.user).await?;
        let core = Arc::clone(&self.checks);
        let core = core.acquire_owned().await.map_err(|_| Unauthenticated::Busy)?;
        let given = credentials.password.clone();
        let kept = account.as_ref().map(|account| account.password_hash.clone());
        let memories = Arc::clone(&self.memories);
        let check = move || {
            let mut memory = spare(&memories).pop().unwrap_or_default();
            let right = memory.verify(&given, kept.as_deref());
            spare(&memories).push(memory);
            // Held to the end also if the client hangs up, or there would be more than cores.
            drop(core);
            right
        };
        let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        let account = account.filter(|_| right).ok_or_else(wrong)?;
        let here = account
            .labels
            .as_ref()
            .is_none_or(|labels| label.is_some_and(|label| labels.contains(label)));
        // Not told apart from a wrong password: what an account may do is not for guessers.
        if here { Ok(account) } else { Err(wrong()) }
    }
}

fn spare(memories: &Mutex<Vec<password::Memory>>) -> MutexGuard<'_, Vec<password::Memory>> {
    memories.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shown {
    fn fault(self) -> Fault {
        match self {
            Self::Bad(fault) | Self::NotYet(fault) => fault,
            Self::Nothing | Self::Trusted(..) => Fault::new(
                "auth.none",
                "a client shows who it is before it enrols (RFC 7030 section 4.2)",
                "neither a client certificate nor a password that is accepted here",
                "a TLS client certificate that this server trusts, or HTTP Basic where it is accepted",
            ),
        }
    }
}

fn no_password() -> Fault {
    Fault::new(
        "auth.no-password",
        "a password is required here (RFC 7030 section 3.2.3)",
        "no HTTP Basic credentials",
        "HTTP Basic with an enrolment account",
    )
}

fn not_yet(moment: Time, now: Time) -> Shown {
    Shown::NotYet(Fault::new(
        "auth.not-yet-valid",
        "the client certificate is valid now (RFC 5280 section 4.1.2.5)",
        format!("one that is valid from {moment} only, and it is {now} on this server's clock"),
        "the same certificate later, when the clock is right; or a password",
    ))
}

fn bad(seen: &str) -> Shown {
    Shown::Bad(Fault::new(
        "auth.certificate",
        "the client certificate leads to a trust anchor of this server and is valid now (RFC 7030 section 3.3.2)",
        seen,
        "a valid certificate of this server's CA or of another one that it trusts",
    ))
}

fn shown(peer: &Peer, now: Time) -> Shown {
    let Some(shown) = &peer.certificate else { return Shown::Nothing };
    let class = match &shown.verdict {
        Verdict::Trusted(class) => *class,
        Verdict::NotYet(moment) => return not_yet(*moment, now),
        Verdict::Untrusted(reason) => return bad(reason),
    };
    match Certificate::parse(&shown.der) {
        // A connection may outlive the certificate that opened it.
        Ok(certificate) if now > certificate.not_after() => {
            bad(&format!("one that expired at {}", certificate.not_after()))
        }
        // Nor does the clock go forward only.
        Ok(certificate) if now < certificate.not_before() => not_yet(certificate.not_before(), now),
        Ok(certificate) => Shown::Trusted(Box::new(certificate), class, None),
        Err(fault) => bad(&fault.fault().seen),
    }
}
