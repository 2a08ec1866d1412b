//! Templates of subjectAltName entries.

use super::{
    part::{self, Defect, FilledPart, NamePart, Piece, Syntax},
    variable::Proven,
};
use crate::pki::{SubjectAltName, san::Entry};
use crate::types::{Code, Rejection, SanKind};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An entry of subjectAltName with variables, such as `dns:{idevid.serial}.plant7.example` or
/// `ip:10.0.0.0/8`.
///
/// Labels and parts are those of the template's text. A value fills a piece of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SanTemplate {
    text: String,
    kind: SanKind,
    pieces: Vec<Piece>,
    form: SanForm,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SanForm {
    Network(Network),
    Parts(Syntax, Vec<NamePart>),
}

/// A network, or one address of it with `prefix` as wide as the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A template with its values.
#[derive(Clone, Debug)]
pub(super) struct FilledEntry {
    kind: SanKind,
    form: FilledForm,
    /// As text, for rejections.
    pub(super) shown: String,
}

#[derive(Clone, Debug)]
enum FilledForm {
    Network(Network),
    Parts(Syntax, Vec<FilledPart>),
}

impl SanTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, Defect> {
        let forms = "write dns:NAME, ip:ADDRESS, ip:NETWORK/BITS, uri:URI or email:ADDRESS";
        let kind = text.split_once(':').and_then(|(kind, rest)| {
            let kind = match kind {
                "dns" => SanKind::Dns,
                "ip" => SanKind::Ip,
                "uri" => SanKind::Uri,
                "email" => SanKind::Email,
                _ => return None,
            };
            Some((kind, rest))
        });
        let Some((kind, rest)) = kind else {
            let got = format!(
                "got {text:?}; expected: an entry that begins with dns:, ip:, uri: or email:"
            );
            return Err(Defect::new(got, forms));
        };
        let pieces = part::scan(rest)?;
        let syntax = match kind {
            SanKind::Dns => Syntax::Dns,
            SanKind::Uri => Syntax::Uri,
            SanKind::Email => Syntax::Email,
            SanKind::Ip | SanKind::Other => {
                let form = SanForm::Network(network(&pieces, rest)?);
                return Ok(Self { text: text.to_owned(), kind, pieces, form });
            }
        };
        let parts = part::split(syntax, &pieces);
        part::check_parts(&parts)?;
        checked(kind, part::sample(&pieces).as_bytes()).map_err(|rejection| {
            let got = format!("got {text:?}; expected: {}", rejection.expected);
            Defect::new(got, "correct the text around the variables")
        })?;
        Ok(Self { text: text.to_owned(), kind, pieces, form: SanForm::Parts(syntax, parts) })
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether several names match it: it has `{*}` or a network.
    pub(super) fn is_pattern(&self) -> bool {
        match &self.form {
            SanForm::Network(network) => !network.is_one_address(),
            SanForm::Parts(..) => self.pieces.contains(&Piece::Any),
        }
    }

    /// Whether both have the same form, whatever their text.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.kind == other.kind && self.form == other.form
    }

    /// Fills in proven values.
    pub(super) fn fill(&self, proven: &Proven) -> Result<FilledEntry, Rejection> {
        let form = match &self.form {
            SanForm::Network(network) => FilledForm::Network(*network),
            SanForm::Parts(syntax, parts) => {
                let parts = part::fill(parts, proven, &self.text)?;
                if let Some(value) = part::exact(&parts) {
                    checked(self.kind, value.as_bytes()).map_err(|rejection| {
                        let rule = format!("the values of {} fit their places", self.text);
                        Rejection::new(Code::NamesValue, rule, value, rejection.expected)
                    })?;
                }
                FilledForm::Parts(*syntax, parts)
            }
        };
        Ok(FilledEntry { kind: self.kind, form, shown: self.shown(proven) })
    }

    /// The text with the values that are proven.
    pub(super) fn shown(&self, proven: &Proven) -> String {
        format!("{}:{}", self.kind, part::shown(&self.pieces, proven))
    }
}

/// The text as the operator wrote it.
impl fmt::Display for SanTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FilledEntry {
    /// Whether an entry matches. The case of DNS labels and of a URI's scheme and host does not count
    /// (RFC 5280 §7), that of all others does.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        if entry.kind != Some(self.kind) {
            return false;
        }
        match &self.form {
            FilledForm::Network(network) => {
                address(entry.content()).is_some_and(|address| network.contains(address))
            }
            FilledForm::Parts(syntax, parts) => {
                std::str::from_utf8(entry.content()).is_ok_and(|text| {
                    part::has_parts(text, *syntax, parts, true)
                        && checked(self.kind, text.as_bytes()).is_ok()
                })
            }
        }
    }

    /// Kind and content of the entry that a template without patterns gives.
    pub(super) fn content(&self) -> Option<(SanKind, Vec<u8>)> {
        let content = match &self.form {
            FilledForm::Network(network) if network.is_one_address() => match network.address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            },
            FilledForm::Network(_) => return None,
            FilledForm::Parts(_, parts) => part::exact(parts)?.into_bytes(),
        };
        Some((self.kind, content))
    }
}

/// Checks that a certificate may have this entry (RFC 5280 §4.2.1.6).
fn checked(kind: SanKind, content: &[u8]) -> Result<(), Rejection> {
    SubjectAltName::of_entries(&[(kind, content.to_vec())])
        .and_then(|san| san.check(&[kind]))
        .map_err(|error| error.rejection().clone())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(bytes).ok().map(|four| Ipv4Addr::from(four).into());
    let sixteen = || <[u8; 16]>::try_from(bytes).ok().map(|all| Ipv6Addr::from(all).into());
    four().or_else(sixteen)
}

/// Reads `ADDRESS` or `ADDRESS/BITS`.
fn network(pieces: &[Piece], text: &str) -> Result<Network, Defect> {
    let defect = |expected: &str, remedy: String| {
        Err(Defect::new(format!("got {text:?}; expected: {expected}"), remedy))
    };
    let form = "an address, or a network such as 10.0.0.0/8";
    if pieces.iter().any(|piece| !matches!(piece, Piece::Char(_))) {
        let remedy = "write the network of the addresses; no variable is an address";
        return defect(form, remedy.to_owned());
    }
    let (address, bits) =
        text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return defect(
            form,
            "write it as ip:192.0.2.1, ip:10.0.0.0/8 or ip:2001:db8::/32".to_owned(),
        );
    };
    let width = if address.is_ipv4() { 32 } else { 128 };
    let plain = |bits: &&str| bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = match bits {
        None => Some(width),
        Some(bits) => Some(bits).filter(plain).and_then(|bits| bits.parse().ok()),
    };
    let Some(prefix) = prefix.filter(|prefix| *prefix <= width) else {
        return defect(
            &format!("a prefix of 0 to {width} bits"),
            format!(
                "write the number of leading bits that all addresses have, as in {address}/{width}"
            ),
        );
    };
    let network = Network { address, prefix };
    if network.masked(address) != bits_of(address) {
        let first = match address {
            IpAddr::V4(_) => u32::try_from(network.masked(address) >> 96)
                .map_or(address, |bits| Ipv4Addr::from(bits).into()),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::from(network.masked(address))),
        };
        return defect(
            "a network whose address has only zeros after the prefix",
            format!("write ip:{first}/{prefix} for the network, or ip:{address} for the address"),
        );
    }
    Ok(network)
}

/// The bits of an address, leading bits first.
fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Network {
    fn is_one_address(self) -> bool {
        self.prefix == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The leading bits of an address, the others zero.
    fn masked(self, address: IpAddr) -> u128 {
        let others = 128 - u32::from(self.prefix);
        bits_of(address) & u128::MAX.checked_shl(others).unwrap_or_default()
    }

    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && self.masked(address) == bits_of(self.address)
    }
}
