//! Variables of templates, and the values that a client has proven.

use crate::pki::{Certificate, DistinguishedName, oid};
use crate::types::{Code, Rejection, SanKind, TagName};
use const_oid::ObjectIdentifier;
use std::{collections::BTreeMap, fmt};

/// A variable of a template: a value that a client can prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// The subject's serialNumber in the manufacturer's certificate (IEEE 802.1AR).
    IdevidSerial,
    /// hwSerialNum of that certificate's hardwareModuleName (RFC 4108 §5), in lower-case hexadecimal
    /// digits. Not the same namespace as [`Self::IdevidSerial`].
    IdevidHwSerial,
    /// hwType of that hardwareModuleName, a dotted OID.
    IdevidHwType,
    /// The subject's commonName in the manufacturer's certificate.
    IdevidCn,
    /// The subject's commonName in the client's certificate, issued by this server.
    CertificateCn,
    /// The subject's serialNumber in that certificate.
    CertificateSerial,
    /// The only dNSName of that certificate.
    CertificateDns,
    /// The name of the account whose password was proven.
    Account,
    /// The manufacturer's name in the configuration.
    Manufacturer,
    /// The id of the device, which the registry knows.
    DeviceId,
    /// The operator's tag of that device with this name.
    DeviceTag(TagName),
}

/// The proof that gives a variable its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VariableSource {
    /// A certificate by a manufacturer.
    Manufacturer,
    /// A certificate by this server's CA.
    Certificate,
    /// The password of an account.
    Password,
    /// The registry, by what identifies the device.
    Device,
}

/// How the name of a tag's variable begins.
const TAG: &str = "device.tag.";

impl Variable {
    /// Every variable but those of tags.
    pub const ALL: [Self; 10] = [
        Self::IdevidSerial,
        Self::IdevidHwSerial,
        Self::IdevidHwType,
        Self::IdevidCn,
        Self::CertificateCn,
        Self::CertificateSerial,
        Self::CertificateDns,
        Self::Account,
        Self::Manufacturer,
        Self::DeviceId,
    ];

    /// Its name between the braces; `device.tag.NAME` for a tag.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdevidSerial => "idevid.serial",
            Self::IdevidHwSerial => "idevid.hw_serial",
            Self::IdevidHwType => "idevid.hw_type",
            Self::IdevidCn => "idevid.cn",
            Self::CertificateCn => "certificate.cn",
            Self::CertificateSerial => "certificate.serial",
            Self::CertificateDns => "certificate.dns",
            Self::Account => "account",
            Self::Manufacturer => "manufacturer",
            Self::DeviceId => "device.id",
            Self::DeviceTag(_) => "device.tag.NAME",
        }
    }

    /// The variable of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name.strip_prefix(TAG) {
            Some(tag) => tag.parse().ok().map(Self::DeviceTag),
            None => Self::ALL.into_iter().find(|variable| variable.as_str() == name),
        }
    }

    /// The proof that gives it a value.
    #[must_use]
    pub const fn source(self) -> VariableSource {
        match self {
            Self::IdevidSerial
            | Self::IdevidHwSerial
            | Self::IdevidHwType
            | Self::IdevidCn
            | Self::Manufacturer => VariableSource::Manufacturer,
            Self::CertificateCn | Self::CertificateSerial | Self::CertificateDns => {
                VariableSource::Certificate
            }
            Self::Account => VariableSource::Password,
            Self::DeviceId | Self::DeviceTag(_) => VariableSource::Device,
        }
    }

    /// The proof that a client must give, for rejections and documents.
    #[must_use]
    pub const fn origin(self) -> &'static str {
        match self {
            Self::IdevidSerial => {
                "a manufacturer's certificate with one serialNumber in its subject"
            }
            Self::IdevidHwSerial | Self::IdevidHwType => {
                "a manufacturer's certificate with one hardwareModuleName (RFC 4108 section 5)"
            }
            Self::IdevidCn => "a manufacturer's certificate with one commonName in its subject",
            Self::CertificateCn => {
                "a certificate by this server with one commonName in its subject"
            }
            Self::CertificateSerial => {
                "a certificate by this server with one serialNumber in its subject"
            }
            Self::CertificateDns => "a certificate by this server with one dNSName",
            Self::Account => "the password of an account",
            Self::Manufacturer => "a manufacturer's certificate",
            Self::DeviceId => "a device that the registry knows",
            Self::DeviceTag(_) => "a device that the registry knows and that has this tag",
        }
    }
}

/// The variable as a template has it, `{idevid.serial}`.
impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceTag(tag) => write!(f, "{{{TAG}{tag}}}"),
            other => write!(f, "{{{}}}", other.as_str()),
        }
    }
}

/// The values that a client has proven. A variable has no value if its proof is missing, or if the
/// certificate has no or several such values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    values: BTreeMap<Variable, Vec<String>>,
}

impl Proven {
    /// Nothing is proven.
    #[must_use]
    pub const fn new() -> Self {
        Self { values: BTreeMap::new() }
    }

    /// Adds a certificate by the manufacturer of this name in the configuration. Its path must have
    /// been validated. If several vouch for it, `{manufacturer}` is ambiguous.
    #[must_use]
    pub fn with_idevid(mut self, manufacturer: &str, certificate: &Certificate) -> Self {
        let subject = certificate.subject();
        let modules: Vec<_> =
            certificate.san().into_iter().flat_map(|san| san.hardware_modules()).collect();
        let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
        self.values.entry(Variable::Manufacturer).or_default().push(manufacturer.to_owned());
        self.values.extend([
            (Variable::IdevidSerial, strings(subject, oid::SERIAL_NUMBER)),
            (Variable::IdevidCn, strings(subject, oid::COMMON_NAME)),
            (Variable::IdevidHwSerial, modules.iter().map(|one| hex(&one.serial)).collect()),
            (Variable::IdevidHwType, modules.iter().map(|one| one.kind.to_string()).collect()),
        ]);
        self
    }

    /// Adds a certificate by this server's CA. Its path must have been validated.
    #[must_use]
    pub fn with_certificate(mut self, certificate: &Certificate) -> Self {
        let subject = certificate.subject();
        let entries = certificate.san().map(|san| san.entries()).unwrap_or_default();
        let dns = entries.iter().filter(|entry| entry.kind == Some(SanKind::Dns));
        self.values.extend([
            (Variable::CertificateCn, strings(subject, oid::COMMON_NAME)),
            (Variable::CertificateSerial, strings(subject, oid::SERIAL_NUMBER)),
            (
                Variable::CertificateDns,
                dns.map(|entry| String::from_utf8_lossy(entry.content()).into_owned()).collect(),
            ),
        ]);
        self
    }

    /// Adds the name of the account whose password was proven.
    #[must_use]
    pub fn with_account(mut self, name: &str) -> Self {
        self.values.insert(Variable::Account, vec![name.to_owned()]);
        self
    }

    /// Adds the id of a device that the registry knows, and its tags.
    #[must_use]
    pub fn with_device<'a>(
        mut self,
        id: &str,
        tags: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        self.values.insert(Variable::DeviceId, vec![id.to_owned()]);
        // No variable has another name.
        self.values.extend(tags.filter_map(|(name, value)| {
            Some((Variable::DeviceTag(name.parse().ok()?), vec![value.to_owned()]))
        }));
        self
    }

    /// The value of a variable; none if it is not proven or ambiguous.
    #[must_use]
    pub fn value(&self, variable: Variable) -> Option<&str> {
        match self.values.get(&variable).map(Vec::as_slice) {
            Some([one]) => Some(one),
            _ => None,
        }
    }

    /// The variables that have a value, and their values.
    pub fn values(&self) -> impl Iterator<Item = (Variable, &str)> {
        self.values.keys().filter_map(|one| self.value(*one).map(|value| (*one, value)))
    }

    /// The value of a variable of the template `place`.
    pub(super) fn required(&self, variable: Variable, place: &str) -> Result<&str, Rejection> {
        self.value(variable).ok_or_else(|| {
            let number = self.values.get(&variable).map_or(0, Vec::len);
            let got = match number {
                0 => format!("no value for {variable}"),
                number => format!("{number} values for {variable}"),
            };
            let rule = format!("each variable of {place} is proven and has one value");
            Rejection::new(Code::NamesValue, rule, got, variable.origin())
        })
    }
}

/// The values of this type. One that is no character string counts as the empty value, which fits
/// nowhere.
fn strings(name: &DistinguishedName, wanted: ObjectIdentifier) -> Vec<String> {
    let attributes = name.rdns().flatten().filter(|(kind, _)| *kind == wanted);
    attributes.map(|(_, text)| text.unwrap_or_default().to_owned()).collect()
}
