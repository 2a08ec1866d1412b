//! Alternative names as users write them.

use super::CsrError;
use der::asn1::{Ia5String, OctetString};
use std::{net::IpAddr, str::FromStr};
use x509_cert::ext::pkix::name::GeneralName;

/// A name for the subjectAltName extension (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AltName {
    /// A DNS name; other than ASCII as A-labels.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
    /// A URI.
    Uri(String),
    /// A mail address.
    Email(String),
}

/// Reads `dns:NAME`, `ip:ADDRESS`, `uri:URI` or `email:ADDRESS`, the kind in any case.
impl FromStr for AltName {
    type Err = CsrError;
    fn from_str(text: &str) -> Result<Self, CsrError> {
        let rejection = |why| CsrError::AlternativeName { seen: text.to_owned(), why };
        let (kind, value) = text.split_once(':').ok_or_else(|| rejection("it names no kind"))?;
        if value.is_empty() {
            return Err(rejection("it is empty"));
        }
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(rejection("it holds blanks or characters outside ASCII"));
        }
        match kind.to_ascii_lowercase().as_str() {
            "dns" => Ok(Self::Dns(value.to_owned())),
            "ip" => value.parse().map(Self::Ip).map_err(|_| rejection("not an IP address")),
            "uri" if !value.contains(':') => {
                Err(rejection("a URI begins with a scheme, as in urn:"))
            }
            "uri" => Ok(Self::Uri(value.to_owned())),
            "email" if !value.contains('@') => Err(rejection("a mail address has an @")),
            "email" => Ok(Self::Email(value.to_owned())),
            _ => Err(rejection("its kind is not known")),
        }
    }
}

impl AltName {
    pub(super) fn general_name(&self) -> der::Result<GeneralName> {
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(Ia5String::new(name)?),
            Self::Uri(uri) => GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?),
            Self::Email(address) => GeneralName::Rfc822Name(Ia5String::new(address)?),
            Self::Ip(IpAddr::V4(address)) => {
                GeneralName::IpAddress(OctetString::new(address.octets())?)
            }
            Self::Ip(IpAddr::V6(address)) => {
                GeneralName::IpAddress(OctetString::new(address.octets())?)
            }
        })
    }
}
