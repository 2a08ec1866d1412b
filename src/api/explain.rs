//! Explanations: what the server decides on a request, and why.

use serde::{Deserialize, Serialize};

/// Explains a request: one that is described here, or one that the server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Explain {
    /// Id of a request that the server answered. Of the other fields only `at` is given with it.
    pub request: Option<String>,
    /// Label; none for requests without one.
    pub label: Option<String>,
    /// `simpleenroll`, `simplereenroll` or `serverkeygen`. Default: `simpleenroll`.
    pub operation: Option<String>,
    /// CSR, DER in base64.
    pub csr: Option<String>,
    /// Certificate of the client and those of its issuers, DER in base64.
    pub certificates: Vec<String>,
    /// Account whose password the client has.
    pub account: Option<String>,
    /// Time of the request, RFC 3339. Default: now.
    pub at: Option<String>,
}

/// The server's decision on a request, and each reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The decision.
    pub verdict: ExplainedVerdict,
    /// The first broken rule, at which the server stops.
    pub rejection: Option<ExplainedRejection>,
    /// Label.
    pub label: Option<String>,
    /// Operation.
    pub operation: String,
    /// Time for which the rules were applied, RFC 3339.
    pub at: String,
    /// The client as the audit trail names it, and how it authenticated; none if it does not.
    pub client: Option<String>,
    /// Facts that nobody has shown: the explanation takes them for true.
    pub claimed: Vec<String>,
    /// Parts of the decision that the explanation leaves out.
    pub left_out: Vec<String>,
    /// Proofs of the client's identity that the label accepts.
    pub proofs: Vec<ExplainedProof>,
    /// Rules, in their order.
    pub rules: Vec<ExplainedRule>,
    /// The certificate that would be issued.
    pub certificate: Option<ExplainedCertificate>,
    /// The answer of `/csrattrs` as text; none if the label does not offer it.
    pub csrattrs: Option<Vec<String>>,
    /// The request as it was answered; none if it was described by the caller.
    pub recorded: Option<ExplainedRecord>,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExplainedVerdict {
    /// A certificate would be issued.
    Issued,
    /// The request would be rejected.
    Rejected,
    /// The client is authenticated; its CSR is not known.
    Undecided,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRejection {
    /// Stable code of the rule.
    pub code: String,
    /// The text that the client gets.
    pub text: String,
    /// More than the client learns.
    pub cause: Option<String>,
}

/// A proof of identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedProof {
    /// The proof in the words of the configuration.
    pub proof: String,
    /// The key of the configuration that accepts it: `accept` or `renewal.accept`.
    pub list: String,
    /// Its alternative in that list, from 1. All proofs of an alternative are needed.
    pub alternative: usize,
    /// The client's value.
    pub got: String,
    /// The values that the proof accepts.
    pub accepts: String,
    /// Whether the client has it.
    pub holds: bool,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRule {
    /// Name.
    pub rule: String,
    /// Why the rule exists.
    pub reason: String,
    /// The value that it looked at; empty if it was not reached.
    pub got: String,
    /// The values that it accepts; empty if it was not reached.
    pub accepts: String,
    /// `passed`, `rejected`, `not-applicable` or `not-reached`.
    pub decision: String,
    /// Why it does not apply, or the rejection.
    pub detail: Option<String>,
}

/// A certificate that would be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedCertificate {
    /// Subject, RFC 4514.
    pub subject: String,
    /// Entries of its subjectAltName.
    pub san: Vec<String>,
    /// Issuer, RFC 4514.
    pub issuer: String,
    /// Kind of its key.
    pub key: String,
    /// First second of validity, RFC 3339.
    pub not_before: String,
    /// Last second of validity, RFC 3339.
    pub not_after: String,
    /// Extensions as text.
    pub extensions: Vec<String>,
    /// TBSCertificate, DER in base64, with the serial number 1.
    pub tbs: String,
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRecord {
    /// Id.
    pub request: String,
    /// Time of the answer, RFC 3339.
    pub at: String,
    /// Address of the client.
    pub address: String,
    /// Serial number of the certificate that answered it, hexadecimal.
    pub serial: Option<String>,
    /// The rejection that answered it.
    pub rejection: Option<ExplainedRejection>,
}
