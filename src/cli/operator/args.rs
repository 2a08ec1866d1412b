//! Arguments of the operator's commands.

use crate::types::RevocationReason;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CertCommand {
    /// Lists certificates in the order in which they were issued.
    List {
        /// Part of the subject or of a subjectAltName entry.
        #[arg(long)]
        subject: Option<String>,
        /// Those in this state; issued ones are valid or expired.
        #[arg(long, value_parser = ["open", "issued", "void", "revoked", "valid", "expired"])]
        state: Option<String>,
        /// The same as --state open: recorded, and without a certificate.
        #[arg(long, conflicts_with = "state")]
        open: bool,
        /// The same as --state revoked.
        #[arg(long, conflicts_with_all = ["state", "open"])]
        revoked: bool,
        /// The label; "-" for those without one.
        #[arg(long)]
        label: Option<String>,
        /// Those that expire before this moment, such as 2027-01-31T00:00:00Z.
        #[arg(long, value_name = "MOMENT")]
        expires_before: Option<String>,
        /// At most so many; all without it.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Shows one certificate and its record.
    Show {
        /// The serial number, hexadecimal.
        serial: String,
    },
    /// Revokes one certificate, for good: from now on it is no proof of anything here. Its device
    /// needs another way to show who it is.
    Revoke {
        /// The serial number, hexadecimal.
        serial: String,
        /// A reason of RFC 5280: unspecified, keyCompromise, cACompromise, affiliationChanged,
        /// superseded, cessationOfOperation, privilegeWithdrawn or aACompromise.
        #[arg(long, default_value_t = RevocationReason::Unspecified)]
        reason: RevocationReason,
        /// What the audit event is to say beside it.
        #[arg(long)]
        comment: Option<String>,
    },
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
