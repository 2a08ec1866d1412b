//! Arguments of the operator's commands.

use crate::types::RevocationReason;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CertCommand {
    /// Lists certificates in the order in which they were issued.
    List(Box<ListArguments>),
    /// Shows one certificate and its record.
    Show {
        /// The serial number, hexadecimal, or 4 and more digits from its beginning.
        serial: String,
    },
    /// Revokes certificates, for good: from now on they neither authenticate nor are renewed. Their
    /// devices need another way in.
    Revoke(Box<RevokeArguments>),
}

/// Conditions on a certificate: all that are given must hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Conditions, all of which must hold")]
pub(in crate::cli) struct Conditions {
    /// Values in the subject, such as CN=gw-7* or CN=gw-7*,O=Example. "*" stands for any characters,
    /// "\\*" for itself. Case counts.
    #[arg(long, value_name = "TYPE=VALUE")]
    pub(super) subject: Option<String>,
    /// A subjectAltName entry, such as dns:*.lab.example; kinds: dns, ip, uri, email.
    #[arg(long, value_name = "KIND:VALUE")]
    pub(super) san: Option<String>,
    /// The label; "-" for those without one.
    #[arg(long)]
    pub(super) label: Option<String>,
    /// The CA that issued it.
    #[arg(long)]
    pub(super) ca: Option<String>,
    /// The profile that it follows.
    #[arg(long)]
    pub(super) profile: Option<String>,
    /// The account whose password authenticated the request.
    #[arg(long)]
    pub(super) account: Option<String>,
    /// The id of the request.
    #[arg(long, value_name = "ID")]
    pub(super) request: Option<String>,
    /// SHA-256 of the certificate, with or without colons.
    #[arg(long, value_name = "SHA256")]
    pub(super) fingerprint: Option<String>,
    /// Its key: a PEM file with a certificate, CSR or public key, or SHA-256 of the
    /// SubjectPublicKeyInfo.
    #[arg(long, value_name = "FILE|SHA256")]
    pub(super) key: Option<String>,
    /// Issued at this time or later: 2026-12-31 or 2026-12-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(super) issued_after: Option<String>,
    /// Issued before this time.
    #[arg(long, value_name = "TIME")]
    pub(super) issued_before: Option<String>,
    /// Issued within the last 12h, 30d, ...
    #[arg(long, value_name = "LENGTH")]
    pub(super) issued_within: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArguments {
    #[command(flatten)]
    pub(super) conditions: Conditions,
    /// Part of the subject or of a subjectAltName entry as they are shown, in either case.
    #[arg(long, value_name = "TEXT")]
    pub(super) search: Option<String>,
    /// The state; issued ones are valid or expired.
    #[arg(long, value_parser = ["open", "issued", "void", "revoked", "valid", "expired"])]
    pub(super) state: Option<String>,
    /// The same as --state open: recorded, and without a certificate.
    #[arg(long, conflicts_with = "state")]
    pub(super) open: bool,
    /// The same as --state revoked.
    #[arg(long, conflicts_with_all = ["state", "open"])]
    pub(super) revoked: bool,
    /// Expires before this time: 2026-12-31 or 2026-12-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(super) expires_before: Option<String>,
    /// Valid, and expires within 30d, 12h, ...
    #[arg(long, value_name = "LENGTH")]
    pub(super) expires_within: Option<String>,
    /// No certificate renews or rekeys it.
    #[arg(long)]
    pub(super) without_successor: bool,
    /// How many at most; all by default.
    #[arg(long, value_name = "NUMBER", help_heading = "Paging")]
    pub(super) limit: Option<usize>,
    /// Continues a list: the cursor that the page before ended with.
    #[arg(long, value_name = "CURSOR", help_heading = "Paging")]
    pub(super) after: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArguments {
    /// Serial numbers, hexadecimal, or 4 and more digits from the beginning of each.
    #[arg(value_name = "SERIAL")]
    pub(super) serials: Vec<String>,
    /// A file with a serial number at the start of each line, as --dry-run prints them; "-" for
    /// standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// A reason of RFC 5280: unspecified, keyCompromise, cACompromise, affiliationChanged,
    /// superseded, cessationOfOperation, privilegeWithdrawn or aACompromise.
    #[arg(long, default_value_t = RevocationReason::Unspecified)]
    pub(super) reason: RevocationReason,
    /// Text for the audit events.
    #[arg(long)]
    pub(super) comment: Option<String>,
    /// Lists what would be revoked, and revokes nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Asks nothing. Certificates that are named by their whole serial numbers need no --yes.
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) conditions: Conditions,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CaCommand {
    /// Shows the CAs with the fingerprints of their certificates.
    Show,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Adds an account and shows its password once. A password of your own comes from standard
    /// input: an argument could be read by every user of the machine.
    Add {
        /// The user name.
        name: String,
        /// A label that it may enroll under; repeat for more. By default all, except those whose
        /// profile makes registration authorities.
        #[arg(long = "label", value_name = "LABEL")]
        labels: Vec<String>,
        /// Reads the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        /// For HTTP Digest (SHA-256), and Basic. Instead of a hash, the store then holds a secret with
        /// which whoever reads it can enrol as this account: see docs/configuration.md.
        #[arg(long)]
        digest: bool,
        /// For HTTP Digest with MD5, too: only for clients that know nothing else, such as libest.
        #[arg(long)]
        digest_md5: bool,
        /// For the identity proof of CMC with SHA-256, too: the store then holds SHA-256 of the password.
        #[arg(long)]
        identity_proof: bool,
        /// Accepts an empty user name, for clients that send a password only (RFC 7030).
        #[arg(long)]
        allow_empty_name: bool,
    },
    /// Removes an account.
    Remove {
        /// The user name.
        name: String,
    },
    /// Lists the accounts.
    List,
}
