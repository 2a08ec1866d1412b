//! Certificates (RFC 5280 §4.1), written: what will be signed, and the certificate around it.

use super::{canonical, extension::Extension};
use crate::types::{Serial, Time};
use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, BitStringRef, GeneralizedTime, IntRef, UtcTime},
};
use std::time::Duration;
use x509_cert::time::{Time as X509Time, Validity};

/// The contents of a certificate. Names, key and algorithm are DER and copied unchanged, so that an
/// issuer is byte-identical to its CA's subject (RFC 5280 §4.1.2.4).
#[derive(Clone, Debug)]
pub struct ToBeSigned<'a> {
    /// The serial number.
    pub serial: &'a Serial,
    /// AlgorithmIdentifier of the later signature, DER.
    pub signature_algorithm: &'a [u8],
    /// Name of the issuer, DER.
    pub issuer: &'a [u8],
    /// First time of validity.
    pub not_before: Time,
    /// Last time of validity, inclusive.
    pub not_after: Time,
    /// Name of the subject, DER.
    pub subject: &'a [u8],
    /// SubjectPublicKeyInfo, DER.
    pub spki: &'a [u8],
    /// The extensions, in order.
    pub extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct TbsCertificate<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: IntRef<'a>,
    signature: AnyRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    spki: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct SignedCertificate<'a> {
    tbs: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

impl ToBeSigned<'_> {
    /// Writes the TBSCertificate, version 3.
    ///
    /// Subject, key and extension values are checked again, so that only DER is signed. The issuer
    /// is not: it is the CA's own, whatever its form.
    ///
    /// # Errors
    /// Those of the encoder: a part that is not DER.
    pub fn to_der(&self) -> der::Result<Vec<u8>> {
        let values = self.extensions.iter().map(Extension::value);
        [self.subject, self.spki].into_iter().chain(values).try_for_each(canonical::check_der)?;
        TbsCertificate {
            version: 2,
            serial: IntRef::new(self.serial.as_bytes())?,
            signature: AnyRef::from_der(self.signature_algorithm)?,
            issuer: AnyRef::from_der(self.issuer)?,
            validity: Validity::new(time(self.not_before)?, time(self.not_after)?),
            subject: AnyRef::from_der(self.subject)?,
            spki: AnyRef::from_der(self.spki)?,
            extensions: self.extensions.clone(),
        }
        .to_der()
    }
}

/// Combines a TBSCertificate, the same algorithm as in it, and the signature (RFC 5280 §4.1.1).
///
/// # Errors
/// Those of the encoder: a part that is not DER.
pub fn assemble(tbs: &[u8], signature_algorithm: &[u8], signature: &[u8]) -> der::Result<Vec<u8>> {
    SignedCertificate {
        tbs: AnyRef::from_der(tbs)?,
        algorithm: AnyRef::from_der(signature_algorithm)?,
        signature: BitStringRef::from_bytes(signature)?,
    }
    .to_der()
}

/// UTCTime through 2049, GeneralizedTime from then on (RFC 5280 §4.1.2.5).
pub(super) fn time(time: Time) -> der::Result<X509Time> {
    const YEAR_2050: u64 = 2_524_608_000;
    let since_1970 = Duration::from_secs(time.unix());
    if time.unix() < YEAR_2050 {
        UtcTime::from_unix_duration(since_1970).map(X509Time::UtcTime)
    } else {
        GeneralizedTime::from_unix_duration(since_1970).map(X509Time::GeneralTime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_5280_4_1_2_5_a_times_through_2049_are_utc_time_later_ones_generalized() {
        let encoded = |unix| time(Time::from_unix(unix)).unwrap().to_der().unwrap();
        assert_eq!(encoded(2_524_607_999), b"\x17\x0d491231235959Z");
        assert_eq!(encoded(2_524_608_000), b"\x18\x0f20500101000000Z");
        assert_eq!(encoded(Time::MAX.unix()), b"\x18\x0f99991231235959Z");
    }
}
