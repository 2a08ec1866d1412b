//! Certs-only CMS SignedData (RFC 5652 §5, RFC 5272 §4.1), the Simple PKI Response.

use super::{Error, oid, signed_data};
use crate::types::{Code, Rejection};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode, EncodingRules, Reader, SliceReader, Tag, TagNumber, Tagged, asn1::AnyRef,
};

/// Writes certificates (DER) as certs-only CMS, in the order that DER requires of a SET OF.
///
/// # Errors
/// Those of the encoder: a certificate that is not DER.
pub fn certs_only<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> der::Result<Vec<u8>> {
    signed_data::content_info(&signed_data::encode_signed_data(
        oid::DATA,
        None,
        certificates,
        None,
    )?)
}

/// Reads the certificates of a certs-only CMS, in DER or in BER with indefinite lengths, as Bouncy
/// Castle writes it (RFC 5652 §5.1 allows both). Each certificate is returned byte for byte; CRLs
/// and attribute certificates beside them are ignored.
///
/// # Errors
/// [`Error::Malformed`] if it is not certs-only CMS, or has content or signers.
pub fn parse_certs_only(ber: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    read_certificates(ber).map_err(|seen| {
        Error::Malformed(Rejection::of(
            Code::CmsCertsOnly,
            seen,
            "SignedData with certificates, without content and signers",
        ))
    })
}

fn read_certificates(ber: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let text = |rejection: der::Error| rejection.to_string();
    let info = elements(AnyRef::from_ber(ber).map_err(text)?).map_err(text)?;
    let [content_type, content] = info.as_slice() else {
        return Err("no ContentInfo".to_owned());
    };
    let content_type: ObjectIdentifier = content_type.decode_as().map_err(text)?;
    if content_type != oid::SIGNED_DATA {
        return Err(super::algorithm::described(content_type));
    }
    let content = elements(*content).map_err(text)?;
    let [signed] = content.as_slice() else { return Err("no SignedData".to_owned()) };
    // version, digestAlgorithms, encapContentInfo, [0] certificates, [1] crls, signerInfos.
    let signed = elements(*signed).map_err(text)?;
    let [_, _, encapsulated, optional @ .., signers] = signed.as_slice() else {
        return Err("no SignedData".to_owned());
    };
    if elements(*encapsulated).map_err(text)?.len() != 1
        || !elements(*signers).map_err(text)?.is_empty()
    {
        return Err("content or signers".to_owned());
    }
    let set = optional.iter().find(|each| each.tag() == CERTIFICATES);
    let set = set.map_or(Ok(Vec::new()), |set| elements(*set)).map_err(text)?;
    let certificates = set.iter().filter(|each| each.tag() == Tag::Sequence);
    certificates.map(|each| each.to_der().map_err(text)).collect()
}

/// `certificates` of SignedData.
const CERTIFICATES: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };

/// The elements of a constructed value, up to the end-of-contents bytes of one in BER.
fn elements(value: AnyRef<'_>) -> der::Result<Vec<AnyRef<'_>>> {
    let bytes = value.value();
    let mut reader = SliceReader::new_with_encoding_rules(bytes, EncodingRules::Ber)?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        let at = usize::try_from(reader.position())?;
        if bytes.get(at..) == Some(&[0, 0]) {
            break;
        }
        elements.push(AnyRef::decode(&mut reader)?);
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_8951_3_c_the_skeleton_is_der_byte_for_byte() {
        // Around one dummy certificate `30 00`.
        let expected = [
            0x30, 0x27, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2, 0xa0, 0x1a, 0x30, 0x18,
            2, 1, 1, 0x31, 0, 0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1, 0xa0,
            2, 0x30, 0, 0x31, 0,
        ];
        assert_eq!(certs_only([&[0x30, 0][..]]).unwrap(), expected);
    }

    #[test]
    fn r_8951_3_c_certificates_stand_in_der_order() {
        let (a, b) = (&[0x30, 1, 1][..], &[0x30, 0][..]);
        assert_eq!(certs_only([a, b]).unwrap(), certs_only([b, a]).unwrap());
    }

    #[test]
    fn reads_the_sample_of_rfc_7030() {
        let sample = include_bytes!("../../testdata/rfc7030/a1-cacerts.p7.der");
        assert_eq!(parse_certs_only(sample).unwrap().len(), 4);
        assert!(parse_certs_only(&[0x30, 0]).is_err());
        // Cut anywhere, it is rejected.
        for length in 0..sample.len() {
            assert!(parse_certs_only(&sample[..length]).is_err(), "{length}");
        }
        assert!(parse_certs_only(&[&sample[..], &[0]].concat()).is_err());
    }
}
