//! The fields of a TBSCertificate (RFC 5280 §4.1) and a TBSCertList (§5.1), as slices of its bytes.

use super::{
    ExpectedCertificate, ExpectedCrl, ExpectedIssuer, FieldName,
    read::{
        BIT_STRING, BOOLEAN, Breaks, Broken, Element, Elements, GENERALIZED_TIME, INTEGER,
        OCTET_STRING, OID, SEQUENCE, SET, UTC_TIME, context,
    },
    time,
};
use crate::types::Time;

/// The last arc of extensions below id-ce.
pub(super) mod ce {
    pub(crate) const SUBJECT_KEY_IDENTIFIER: u8 = 14;
    pub(crate) const KEY_USAGE: u8 = 15;
    pub(crate) const SUBJECT_ALT_NAME: u8 = 17;
    pub(crate) const BASIC_CONSTRAINTS: u8 = 19;
    pub(crate) const CRL_NUMBER: u8 = 20;
    pub(crate) const REASON_CODE: u8 = 21;
    pub(crate) const INVALIDITY_DATE: u8 = 24;
    pub(crate) const DELTA_CRL_INDICATOR: u8 = 27;
    pub(crate) const ISSUING_DISTRIBUTION_POINT: u8 = 28;
    pub(crate) const CERTIFICATE_ISSUER: u8 = 29;
    pub(crate) const NAME_CONSTRAINTS: u8 = 30;
    pub(crate) const CRL_DISTRIBUTION_POINTS: u8 = 31;
    pub(crate) const CERTIFICATE_POLICIES: u8 = 32;
    pub(crate) const POLICY_CONSTRAINTS: u8 = 36;
    pub(crate) const AUTHORITY_KEY_IDENTIFIER: u8 = 35;
    pub(crate) const EXTENDED_KEY_USAGE: u8 = 37;
    pub(crate) const FRESHEST_CRL: u8 = 46;
    pub(crate) const INHIBIT_ANY_POLICY: u8 = 54;
    pub(crate) const NO_REV_AVAIL: u8 = 56;
}

/// id-pe-authorityInfoAccess.
const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];

/// A part that cannot be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unread {
    /// The bytes are no DER.
    Form,
    /// A field of a TBSCertificate.
    Certificate,
    /// A field of a TBSCertList.
    Crl,
    /// The extensions.
    Extensions,
}

/// One extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExtensionView<'a> {
    pub(super) oid: &'a [u8],
    /// The BOOLEAN, if it is written.
    pub(super) critical: Option<&'a [u8]>,
    pub(super) value: &'a [u8],
}

impl<'a> ExtensionView<'a> {
    fn parse(one: Element<'a>) -> Option<Self> {
        let mut inner = (one.tag == SEQUENCE).then(|| one.inner())?;
        let oid = inner.take_if(OID)?.content;
        let critical = inner.take_if(BOOLEAN).map(|critical| critical.content);
        let value = inner.take_if(OCTET_STRING)?.content;
        inner.is_empty().then_some(Self { oid, critical, value })
    }

    pub(super) fn is_critical(&self) -> bool {
        self.critical.is_some_and(|content| content != [0])
    }

    pub(super) const fn ce(&self) -> Option<u8> {
        match self.oid {
            [0x55, 0x1d, last] => Some(*last),
            _ => None,
        }
    }

    pub(super) fn is_authority_info_access(&self) -> bool {
        self.oid == AUTHORITY_INFO_ACCESS
    }

    /// Whether rules of this linter are about it.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.field(), FieldName::Borrowed(_))
    }

    /// The value, if it is a SEQUENCE.
    pub(super) fn sequence(&self) -> Option<Element<'a>> {
        Element::tagged(self.value, SEQUENCE)
    }

    pub(super) fn field(&self) -> FieldName {
        let name = match self.ce() {
            Some(ce::SUBJECT_KEY_IDENTIFIER) => "extensions.subjectKeyIdentifier",
            Some(ce::KEY_USAGE) => "extensions.keyUsage",
            Some(ce::SUBJECT_ALT_NAME) => "extensions.subjectAltName",
            Some(ce::BASIC_CONSTRAINTS) => "extensions.basicConstraints",
            Some(ce::CRL_NUMBER) => "extensions.cRLNumber",
            Some(ce::REASON_CODE) => "extensions.reasonCode",
            Some(ce::INVALIDITY_DATE) => "extensions.invalidityDate",
            Some(ce::DELTA_CRL_INDICATOR) => "extensions.deltaCRLIndicator",
            Some(ce::ISSUING_DISTRIBUTION_POINT) => "extensions.issuingDistributionPoint",
            Some(ce::CERTIFICATE_ISSUER) => "extensions.certificateIssuer",
            Some(ce::NAME_CONSTRAINTS) => "extensions.nameConstraints",
            Some(ce::CRL_DISTRIBUTION_POINTS) => "extensions.cRLDistributionPoints",
            Some(ce::CERTIFICATE_POLICIES) => "extensions.certificatePolicies",
            Some(ce::AUTHORITY_KEY_IDENTIFIER) => "extensions.authorityKeyIdentifier",
            Some(ce::POLICY_CONSTRAINTS) => "extensions.policyConstraints",
            Some(ce::EXTENDED_KEY_USAGE) => "extensions.extKeyUsage",
            Some(ce::FRESHEST_CRL) => "extensions.freshestCRL",
            Some(ce::INHIBIT_ANY_POLICY) => "extensions.inhibitAnyPolicy",
            Some(ce::NO_REV_AVAIL) => "extensions.noRevAvail",
            _ if self.is_authority_info_access() => "extensions.authorityInfoAccess",
            _ => return FieldName::Owned(format!("extensions.{}", super::read::dotted(self.oid))),
        };
        FieldName::Borrowed(name)
    }
}

/// Extensions: at least one in a SEQUENCE.
fn extensions(whole: Element<'_>) -> Option<Vec<ExtensionView<'_>>> {
    let list = Element::tagged(whole.content, SEQUENCE)?.all()?;
    list.into_iter().map(ExtensionView::parse).collect()
}

/// The fields that certificate and CRL have both.
pub(super) struct EitherView<'a> {
    pub(super) expected: ExpectedIssuer<'a>,
    pub(super) breaks: Breaks,
    pub(super) signature: Element<'a>,
    pub(super) issuer: Element<'a>,
    /// None if the field is absent.
    pub(super) extensions: Option<Vec<ExtensionView<'a>>>,
    pub(super) self_signed: bool,
}

impl<'a> EitherView<'a> {
    pub(super) fn all(&self) -> &[ExtensionView<'a>] {
        self.extensions.as_deref().unwrap_or_default()
    }

    /// The extension with this last arc below id-ce.
    pub(super) fn extension(&self, last: u8) -> Option<&ExtensionView<'a>> {
        self.all().iter().find(|one| one.ce() == Some(last))
    }
}

/// A TBSCertificate.
pub(super) struct CertificateView<'a> {
    pub(super) either: EitherView<'a>,
    pub(super) expected: &'a ExpectedCertificate<'a>,
    pub(super) version: Option<Element<'a>>,
    pub(super) serial: Element<'a>,
    pub(super) not_before: Element<'a>,
    pub(super) not_after: Element<'a>,
    pub(super) subject: Element<'a>,
    /// Those of the subject; none if it is no Name.
    pub(super) attributes: Option<Vec<(&'a [u8], Element<'a>)>>,
    pub(super) spki: Element<'a>,
    pub(super) unique_ids: bool,
}

impl<'a> CertificateView<'a> {
    /// Reads the fields.
    ///
    /// # Errors
    /// The finding that explains why they cannot be read.
    pub(super) fn parse(
        tbs: &'a [u8],
        expected: &'a ExpectedCertificate<'a>,
    ) -> Result<Self, (Unread, FieldName)> {
        Self::fields(tbs, expected).map_err(|found| unreadable(tbs, found))
    }

    fn fields(
        tbs: &'a [u8],
        expected: &'a ExpectedCertificate<'a>,
    ) -> Result<Self, (Unread, FieldName)> {
        use super::CertificateRole::{Ca, EndEntity};
        let missing = |field| (Unread::Certificate, FieldName::Borrowed(field));
        let mut fields = open(tbs)?;
        let version = fields.take_if(context(0, true));
        let serial = fields.take_if(INTEGER).ok_or_else(|| missing("serialNumber"))?;
        let signature = fields.take_if(SEQUENCE).ok_or_else(|| missing("signature"))?;
        let issuer = fields.take_if(SEQUENCE).ok_or_else(|| missing("issuer"))?;
        let validity = fields.take_if(SEQUENCE).ok_or_else(|| missing("validity"))?;
        let [not_before, not_after] = validity
            .all()
            .and_then(|times| <[Element<'_>; 2]>::try_from(times).ok())
            .ok_or_else(|| missing("validity"))?;
        let subject = fields.take_if(SEQUENCE).ok_or_else(|| missing("subject"))?;
        let spki = fields.take_if(SEQUENCE).ok_or_else(|| missing("subjectPublicKeyInfo"))?;
        let unique_ids = [1, 2].map(|number| fields.take_if(context(number, false)).is_some());
        let whole = fields.take_if(context(3, true));
        if !fields.is_empty() {
            return Err(missing("extensions"));
        }
        let extensions = whole.map(listed).transpose()?;
        let self_signed = match expected.role {
            Ca { self_signed, .. } => self_signed,
            EndEntity(_) => false,
        };
        let mut breaks = Breaks::default();
        for (one, field) in [
            (version, "version"),
            (Some(serial), "serialNumber"),
            (Some(signature), "signature"),
            (Some(subject), "subject"),
            (Some(validity), "validity"),
            (Some(spki), "subjectPublicKeyInfo"),
            (whole, "extensions"),
        ] {
            // The issuer's name is the CA's own, whatever its form.
            breaks.walk(one.map_or(&[], |one| one.whole), &|| FieldName::Borrowed(field));
        }
        walk_values(&mut breaks, extensions.as_deref().unwrap_or_default());
        let either = EitherView {
            expected: expected.issuer,
            breaks,
            signature,
            issuer,
            extensions,
            self_signed,
        };
        let unique_ids = unique_ids.contains(&true);
        Ok(Self {
            either,
            expected,
            version,
            serial,
            not_before,
            not_after,
            subject,
            attributes: attributes(subject),
            spki,
            unique_ids,
        })
    }

    /// Whether basicConstraints makes it a CA.
    pub(super) fn is_ca(&self) -> bool {
        let constraints = self.either.extension(ce::BASIC_CONSTRAINTS);
        let first = constraints.and_then(|one| one.sequence()?.inner().take_if(BOOLEAN));
        first.is_some_and(|ca| ca.content != [0])
    }

    /// The bits of keyUsage in order, without the unused ones. None without keyUsage that can be read.
    pub(super) fn named_bits(&self) -> Option<impl DoubleEndedIterator<Item = bool> + 'a> {
        let one = Element::tagged(self.either.extension(ce::KEY_USAGE)?.value, BIT_STRING)?;
        let (unused, bytes) = one.content.split_first()?;
        let used = (bytes.len() * 8).saturating_sub(usize::from(*unused));
        let bit =
            |bit: usize| bytes.get(bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0);
        Some((0..used).map(bit))
    }

    /// The bits of keyUsage; bit 0 is digitalSignature, and bit 15 stands for all from there on.
    pub(super) fn key_usage(&self) -> Option<u16> {
        let set = self.named_bits()?.enumerate().filter(|(_, set)| *set);
        Some(set.fold(0, |all, (bit, _)| all | 1 << bit.min(15)))
    }

    pub(super) fn subject_is_empty(&self) -> bool {
        self.subject.content.is_empty()
    }

    pub(super) fn times(&self) -> (Option<Time>, Option<Time>) {
        (time::parse(self.not_before), time::parse(self.not_after))
    }
}

/// The types and values of a Name; none if it is not one.
pub(super) fn attributes(name: Element<'_>) -> Option<Vec<(&[u8], Element<'_>)>> {
    let mut out = Vec::new();
    for rdn in name.all()? {
        let all = (rdn.tag == SET && !rdn.content.is_empty()).then(|| rdn.all())??;
        for attribute in all {
            let mut inner = (attribute.tag == SEQUENCE).then(|| attribute.inner())?;
            out.push((inner.take_if(OID)?.content, inner.take()?));
            inner.is_empty().then_some(())?;
        }
    }
    Some(out)
}

/// One of revokedCertificates.
pub(super) struct EntryView<'a> {
    pub(super) serial: Element<'a>,
    pub(super) date: Element<'a>,
    /// None if the field is absent.
    pub(super) extensions: Option<Vec<ExtensionView<'a>>>,
}

impl<'a> EntryView<'a> {
    fn parse(one: Element<'a>) -> Option<Self> {
        let mut inner = (one.tag == SEQUENCE).then(|| one.inner())?;
        let serial = inner.take_if(INTEGER)?;
        let date = inner.take().filter(|date| matches!(date.tag, UTC_TIME | GENERALIZED_TIME))?;
        let list = inner.take_if(SEQUENCE);
        let extensions = match list {
            Some(list) => {
                Some(list.all()?.into_iter().map(ExtensionView::parse).collect::<Option<_>>()?)
            }
            None => None,
        };
        inner.is_empty().then_some(Self { serial, date, extensions })
    }

    pub(super) fn all(&self) -> &[ExtensionView<'a>] {
        self.extensions.as_deref().unwrap_or_default()
    }

    pub(super) fn extension(&self, last: u8) -> Option<&ExtensionView<'a>> {
        self.all().iter().find(|one| one.ce() == Some(last))
    }

    /// The entry and one of its fields.
    pub(super) fn field(&self, field: &str) -> FieldName {
        let serial: String =
            self.serial.content.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        FieldName::Owned(format!("revokedCertificates.{serial}.{field}"))
    }
}

/// A TBSCertList.
pub(super) struct CrlView<'a> {
    pub(super) either: EitherView<'a>,
    pub(super) expected: &'a ExpectedCrl<'a>,
    pub(super) version: Option<Element<'a>>,
    pub(super) this_update: Element<'a>,
    pub(super) next_update: Option<Element<'a>>,
    /// None if the field is absent.
    pub(super) entries: Option<Vec<EntryView<'a>>>,
}

impl<'a> CrlView<'a> {
    /// Reads the fields.
    ///
    /// # Errors
    /// The finding that explains why they cannot be read.
    pub(super) fn parse(
        tbs: &'a [u8],
        expected: &'a ExpectedCrl<'a>,
    ) -> Result<Self, (Unread, FieldName)> {
        Self::fields(tbs, expected).map_err(|found| unreadable(tbs, found))
    }

    fn fields(tbs: &'a [u8], expected: &'a ExpectedCrl<'a>) -> Result<Self, (Unread, FieldName)> {
        let missing = |field| (Unread::Crl, FieldName::Borrowed(field));
        let is_time = |one: &Element<'_>| matches!(one.tag, UTC_TIME | GENERALIZED_TIME);
        let mut fields = open(tbs)?;
        let version = fields.take_if(INTEGER);
        let signature = fields.take_if(SEQUENCE).ok_or_else(|| missing("signature"))?;
        let issuer = fields.take_if(SEQUENCE).ok_or_else(|| missing("issuer"))?;
        let this_update = fields.take().filter(is_time).ok_or_else(|| missing("thisUpdate"))?;
        let next_update = fields.take_if(UTC_TIME).or_else(|| fields.take_if(GENERALIZED_TIME));
        let list = fields.take_if(SEQUENCE);
        let whole = fields.take_if(context(0, true));
        if !fields.is_empty() {
            return Err(missing("crlExtensions"));
        }
        let entries = match list {
            None => None,
            Some(list) => {
                let entries = list.all().map(|all| all.into_iter().map(EntryView::parse));
                let entries = entries.and_then(Iterator::collect::<Option<Vec<_>>>);
                Some(entries.ok_or_else(|| missing("revokedCertificates"))?)
            }
        };
        let extensions = whole.map(listed).transpose()?;
        let mut breaks = Breaks::default();
        for (one, field) in [
            (version, "version"),
            (Some(signature), "signature"),
            (Some(this_update), "thisUpdate"),
            (next_update, "nextUpdate"),
            (list, "revokedCertificates"),
            (whole, "extensions"),
        ] {
            breaks.walk(one.map_or(&[], |one| one.whole), &|| FieldName::Borrowed(field));
        }
        walk_values(&mut breaks, extensions.as_deref().unwrap_or_default());
        for entry in entries.iter().flatten() {
            for one in entry.all() {
                breaks.walk(one.value, &|| entry.field(&one.field()));
            }
        }
        let either = EitherView {
            expected: expected.issuer,
            breaks,
            signature,
            issuer,
            extensions,
            self_signed: false,
        };
        Ok(Self { either, expected, version, this_update, next_update, entries })
    }
}

/// The fields of one SEQUENCE that is all of the bytes.
fn open(tbs: &[u8]) -> Result<Elements<'_>, (Unread, FieldName)> {
    let whole = Element::tagged(tbs, SEQUENCE);
    whole.map(|one| one.inner()).ok_or((Unread::Form, FieldName::Borrowed("tbs")))
}

/// The finding if bytes are not read: they are no DER, or it is another field that is wrong.
fn unreadable(tbs: &[u8], found: (Unread, FieldName)) -> (Unread, FieldName) {
    let mut breaks = Breaks::default();
    breaks.walk(tbs, &|| FieldName::Borrowed("tbs"));
    match breaks.first(Broken::Form) {
        Err(field) => (Unread::Form, field),
        Ok(()) => found,
    }
}

fn listed(whole: Element<'_>) -> Result<Vec<ExtensionView<'_>>, (Unread, FieldName)> {
    let structure = || (Unread::Extensions, FieldName::Borrowed("extensions"));
    extensions(whole).ok_or_else(structure)
}

/// The value of an extension is the DER of one value (RFC 5280 §4.2).
fn walk_values(breaks: &mut Breaks, extensions: &[ExtensionView<'_>]) {
    for one in extensions {
        breaks.walk(one.value, &|| one.field());
    }
}
