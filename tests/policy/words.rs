//! A configuration and a request in the words of the operator and the client.

use std::fmt::Write;

pub(crate) const DAY: u64 = 86_400;

/// The rules of label `here`, whose CA is `default`.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub accept: Vec<Vec<&'static str>>,
    pub names: NameRule,
    pub renewal_accept: Vec<Vec<&'static str>>,
    pub window: Window,
    pub grace_days: u64,
    /// new, same, either.
    pub key: &'static str,
    pub idevid_key: bool,
    /// Whether `ra_keys` names the key of the first RA alone.
    pub pinned: bool,
    /// Whether label `there` accepts certificates of this label.
    pub is_proof: bool,
    /// Until when certificates that are not on record may renew.
    pub unknown_until: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Window {
    /// The part of the lifetime that is left at most.
    Percent(u64),
    Days(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NameRule {
    /// own, any, match, set.
    pub mode: &'static str,
    pub subject: Option<&'static str>,
    pub san: &'static [&'static str],
    pub allow_san: &'static [&'static str],
}

/// A request for a certificate under label `here`.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub reenroll: bool,
    pub shown: Option<Shown>,
    pub password: Option<Password>,
    pub names: Names,
    /// Whether the CSR has the key of the certificate that is shown.
    pub same_key: bool,
    pub at: u64,
}

/// Subject, most specific attribute first, and entries of subjectAltName: `CN:device-1`, `dns:a.example`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Names {
    pub subject: Vec<String>,
    pub san: Vec<String>,
}

/// A certificate that the client shows in TLS.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Its place among all certificates.
    pub place: usize,
    pub by: Issuer,
    pub names: Names,
    pub not_before: u64,
    pub not_after: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Issuer {
    /// A CA of this server: its name, the label, the record, and the number of a registration authority
    /// (0: a device).
    Ours { ca: &'static str, label: &'static str, record: Record, ra: u8 },
    /// The CAs of these manufacturers vouch for it; their CRLs.
    Makers(&'static [(&'static str, Record)]),
    /// A CA that nobody trusts.
    Stranger,
}

/// The record of a certificate, or its entry in the CRL of its CA.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Record {
    Good,
    Revoked,
    Missing,
}

/// A password that the client sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Password {
    /// `password`, `password:digest`, `password:digest-md5`.
    pub scheme: &'static str,
    pub account: &'static str,
    /// The label to which the account is bound.
    pub bound: Option<&'static str>,
    pub right: bool,
}

/// Whether a proof of `accept` is a password.
pub(crate) fn is_password(proof: &&str) -> bool {
    proof.starts_with("password")
}

/// Stands for `{*}` in a template.
pub(crate) const ANY: &str = "\u{1}";

pub(crate) fn names(subject: &str, san: &[&str]) -> Names {
    let attributes = subject.split(',').filter(|text| !text.is_empty());
    Names {
        subject: attributes.map(|text| text.replacen('=', ":", 1)).collect(),
        san: san.iter().map(ToString::to_string).collect(),
    }
}

impl NameRule {
    pub(crate) fn templates(&self) -> Names {
        names(self.subject.unwrap_or_default(), self.san)
    }

    pub(crate) fn allowed(&self) -> Names {
        names("", self.allow_san)
    }
}

/// Values and entries that no certificate may have.
pub(crate) const MALFORMED: [&str; 10] = [
    "CN: ",
    "CN:a\u{0}b",
    "O:a\nb",
    "dns:a..plant7.example",
    "dns:-a.plant7.example",
    "dns:a.*.example",
    "dns:x.*.plant7.example",
    "dns:a\u{0}.plant7.example",
    "uri:no scheme",
    "email:a@b@a.example",
];

impl Names {
    /// D-08: the order of entries does not count.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let within = |one: &Self, other: &Self| one.san.iter().all(|one| other.san.contains(one));
        self.subject == other.subject && within(self, other) && within(other, self)
    }
}

impl Rules {
    /// The configuration with these rules. `pin`: the key of the first RA. `until`: `unknown_until`.
    pub(crate) fn toml(&self, pin: &str, until: impl Fn(u64) -> String) -> String {
        let list = |texts: &[&str]| format!("{texts:?}");
        let accept = |all: &[Vec<&str>]| {
            let one = |proofs: &Vec<&str>| match proofs.as_slice() {
                [single] => format!("{single:?}"),
                several => list(several),
            };
            format!("[{}]", all.iter().map(one).collect::<Vec<_>>().join(", "))
        };
        let mut text = "version = 1\n[store]\nbackend = \"memory\"\n\
            [manufacturer.acme]\nanchors = [\"acme.pem\"]\n[manufacturer.bolt]\nanchors = [\"bolt.pem\"]\n\
            [ca.other]\nroot_subject = \"CN=other root\"\nissuing_subject = \"CN=other CA\"\n\
            [label.else]\nca = \"other\"\n[label.there]\n"
            .to_owned();
        if self.is_proof {
            text += "accept = [\"certificate:here\"]\n";
        }
        text += "[ca.default]\n";
        if let Some(time) = self.unknown_until {
            let until = until(time);
            writeln!(
                text,
                "unknown_certificates = \"renew-own-names\"\nunknown_certificates_until = \"{until}\""
            )
            .unwrap();
        }
        let pins = if self.pinned { list(&[pin]) } else { list(&[]) };
        let window = match self.window {
            Window::Percent(percent) => format!("{percent}%"),
            Window::Days(days) => format!("{days}d"),
        };
        write!(
            text,
            "[label.here]\naccept = {}\nra_keys = {pins}\nidevid_key = {}\nretry_window = \"0s\"\n\
             [label.here.renewal]\naccept = {}\nwindow = \"{window}\"\ngrace = \"{}d\"\nkey = \"{}\"\n\
             [label.here.names]\nmode = \"{}\"\n",
            accept(&self.accept),
            self.idevid_key,
            accept(&self.renewal_accept),
            self.grace_days,
            self.key,
            self.names.mode
        )
        .unwrap();
        if let Some(subject) = self.names.subject {
            writeln!(text, "subject = {subject:?}").unwrap();
        }
        for (key, entries) in [("san", self.names.san), ("allow_san", self.names.allow_san)] {
            if !entries.is_empty() {
                writeln!(text, "{key} = {}", list(entries)).unwrap();
            }
        }
        text
    }
}
