//! Authentication without a connection, for an explanation: by a claim in place of credentials. The same
//! code decides; it counts no failure, raises no alarm, and records what each proof showed.

use super::{
    Authenticator, AuthnContext, CertificateOutcome, Credentials, Identity, Standing,
    account::LoginFailure, rights::Given,
};
use crate::{
    policy::{Accept, LabelRules, Proof, Scheme},
    ra::{Error, rules::Comparison},
    telemetry::audit::Facts,
    types::{TokenId, parse_sha256},
};

/// The account of a client, claimed in place of a proof by its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The user name.
    pub user: String,
    /// The scheme; if none, the first of the label that the account can use.
    pub scheme: Option<Scheme>,
    /// Whether the password was wrong.
    pub is_wrong: bool,
    /// The token in place of a password.
    pub token: Option<TokenId>,
}

impl Claim {
    /// Returns the claim of a request with credentials of this scheme. A name without an account may
    /// be a mistyped password: only its mask is in `facts`, and here.
    pub(in crate::ra) fn recorded(
        identity: Option<&Identity>,
        scheme: Scheme,
        facts: &Facts,
    ) -> Self {
        let account = identity.and_then(|identity| identity.account.as_ref());
        let known = account.map(|(user, _)| user.as_str()).or_else(|| facts.value("account"));
        let cause = facts.value("cause").filter(|_| account.is_none());
        let token = facts.value("token").and_then(parse_sha256).map(TokenId);
        // The user name beside a token that was accepted is of no account.
        let unknown = if token.is_some() { "" } else { "(not checked)" };
        Self {
            user: known.unwrap_or(unknown).to_owned(),
            scheme: Some(scheme),
            is_wrong: cause.is_some_and(LoginFailure::is_of_password),
            token,
        }
    }
}

/// A proof of the label, and whether the client has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFinding {
    /// The proof.
    pub proof: Proof,
    /// Whether `renewal.accept` names it, instead of `accept`.
    pub renews: bool,
    /// The place of its alternative in that list, from 1. All proofs of an alternative are needed.
    pub alternative: usize,
    /// The client's value, and the values that the proof accepts.
    pub shown: Comparison,
    /// Whether the client has it.
    pub holds: bool,
}

/// The findings of authentication about a client.
#[derive(Debug)]
pub struct AuthnFinding {
    /// Each proof that the label accepts for the operation.
    pub proofs: Vec<ProofFinding>,
    /// The outcome.
    pub outcome: Result<Identity, Error>,
    /// More about a rejection than the client learns.
    pub cause: Option<String>,
}

/// The evidence by which a client is identified, beside its connection.
pub(super) enum Evidence<'a> {
    /// The credentials of a request.
    Sent(Option<&'a Credentials>),
    /// A claim, with the place for what each proof shows.
    Claimed(Option<&'a Claim>, &'a mut Vec<ProofFinding>),
}

impl Evidence<'_> {
    pub(super) const fn has_credentials(&self) -> bool {
        matches!(self, Self::Sent(Some(_)) | Self::Claimed(Some(_), _))
    }

    /// Whether nothing may be counted, spent or reported.
    pub(super) const fn explains(&self) -> bool {
        matches!(self, Self::Claimed(..))
    }

    /// Records what each proof shows.
    pub(super) fn note(&mut self, context: AuthnContext<'_>, given: Given<'_>) {
        let Self::Claimed(claim, proofs) = self else { return };
        let LabelRules { accept, renewal, .. } = given.rules;
        let lists: [(&Accept, bool); 2] = [(accept, false), (&renewal.accept, true)];
        proofs.clear();
        for (list, renews) in lists.into_iter().filter(|(_, renews)| *renews || given.enrolls()) {
            for (place, alternative) in (1..).zip(list.alternatives()) {
                proofs.extend(alternative.iter().map(|proof| ProofFinding {
                    proof: proof.clone(),
                    renews,
                    alternative: place,
                    shown: Comparison {
                        got: got(proof, *claim, context, given),
                        accepts: accepts(proof, given.rules),
                    },
                    holds: match proof.scheme() {
                        Some(scheme) => given.password == Some(scheme),
                        None => given.is_shown(proof, !renews),
                    },
                }));
            }
        }
    }
}

/// Describes what the client has in place of a proof.
fn got(
    proof: &Proof,
    claim: Option<&Claim>,
    context: AuthnContext<'_>,
    given: Given<'_>,
) -> String {
    if proof.scheme().is_some() {
        return match claim {
            None if *proof == Proof::Token => "no token".to_owned(),
            None => "no password".to_owned(),
            Some(Claim { token: Some(token), .. }) => format!("token {}", token.short()),
            Some(Claim { user, is_wrong: true, .. }) => {
                format!("a wrong password of account \"{user}\"")
            }
            Some(Claim { user, .. }) => format!("the password of account \"{user}\", claimed"),
        };
    }
    match given.certificate {
        CertificateOutcome::Absent if context.peer.chain.is_some() => {
            "a certificate that does not matter beside a password".to_owned()
        }
        CertificateOutcome::Absent => "no certificate".to_owned(),
        CertificateOutcome::NotYetValid(rejection) | CertificateOutcome::Rejected(rejection) => {
            rejection.got.clone()
        }
        CertificateOutcome::Late(_, end) => format!("one that expired at {end}"),
        CertificateOutcome::Accepted(presented, expired) => {
            let serial = presented.certificate.serial();
            let mut text = match &presented.standing {
                Standing::Ours(record) => match &record.intent.label {
                    Some(label) => {
                        format!("{serial} of CA {}, issued under label {label}", record.intent.ca)
                    }
                    None => format!("{serial} of CA {}, on record", record.intent.ca),
                },
                Standing::OursUnknown(ca) => format!("{serial} of CA {ca}, not on record"),
                Standing::Manufacturers(names) => {
                    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
                    format!("{serial} of manufacturer {}", names.join(", "))
                }
            };
            if let Some(end) = expired {
                text.push_str(&format!(", expired at {end}"));
            }
            text
        }
    }
}

fn accepts(proof: &Proof, rules: &LabelRules) -> String {
    match proof {
        Proof::Certificate => format!("a certificate of CA {} that is on record", rules.ca),
        Proof::CertificateOf(label) => {
            format!("a certificate that was issued under label {label} and is on record")
        }
        Proof::Manufacturer(name) => format!("a certificate of manufacturer {name}"),
        Proof::Ra if rules.ra_keys.is_empty() => {
            format!("a certificate of CA {} with cmcRA", rules.ca)
        }
        Proof::Ra => format!("a certificate of CA {} with cmcRA and a pinned key", rules.ca),
        Proof::Token => "a one-time token of this label, by basic".to_owned(),
        Proof::Password(scheme) => {
            format!("the password of an account that may enroll here, by {scheme}")
        }
    }
}

impl Authenticator {
    /// Shows what authentication finds about a client that claims an account, or none. Counts nothing,
    /// raises no alarm, and asks for no password.
    pub async fn explain(&self, context: AuthnContext<'_>, claim: Option<&Claim>) -> AuthnFinding {
        let (mut facts, mut proofs) = (Facts::default(), Vec::new());
        let evidence = Evidence::Claimed(claim, &mut proofs);
        let outcome = self.identify(context, evidence, &mut facts, &mut Vec::new()).await;
        AuthnFinding { proofs, outcome, cause: facts.value("cause").map(str::to_owned) }
    }
}
