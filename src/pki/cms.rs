//! Certs-only CMS SignedData (RFC 5652 §5, RFC 5272 §4.1), the Simple PKI Response.

use super::Error;
use crate::types::Fault;
use cms::{
    cert::CertificateChoices,
    content_info::{CmsVersion, ContentInfo},
    signed_data::{CertificateSet, EncapsulatedContentInfo, SignedData, SignerInfos},
};
use der::{Any, Decode, Encode, Sequence, asn1::AnyRef};

/// SignedData whose certificates are octets that we already hold: nothing is decoded to be
/// encoded again.
#[derive(Sequence)]
struct CertsOnly<'a> {
    version: CmsVersion,
    digest_algorithms: der::asn1::SetOfVec<AnyRef<'a>>,
    encap_content_info: EncapsulatedContentInfo,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    certificates: der::asn1::SetOfVec<AnyRef<'a>>,
    signer_infos: der::asn1::SetOfVec<AnyRef<'a>>,
}

/// Writes certificates (DER) as certs-only CMS, in the order that DER gives a SET OF; `crls` is
/// absent (D-29).
///
/// # Errors
/// Those of the encoder: a certificate that is no DER.
pub fn certs_only<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> der::Result<Vec<u8>> {
    let certificates: Vec<AnyRef<'a>> =
        certificates.into_iter().map(AnyRef::from_der).collect::<der::Result<_>>()?;
    let signed = CertsOnly {
        version: CmsVersion::V1,
        digest_algorithms: der::asn1::SetOfVec::new(),
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: super::oid::DATA,
            econtent: None,
        },
        certificates: certificates.try_into()?,
        signer_infos: der::asn1::SetOfVec::new(),
    };
    ContentInfo { content_type: super::oid::SIGNED_DATA, content: Any::encode_from(&signed)? }
        .to_der()
}

/// Reads the certificates (DER) of a certs-only CMS.
///
/// # Errors
/// [`Error::Malformed`] if it is none, or is signed, or holds anything but X.509 certificates.
pub fn certificates(der: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let malformed = |seen: String| {
        Error::Malformed(Fault::new(
            "cms.certs-only",
            "the answer is a certs-only CMS (RFC 7030 section 4.1.3)",
            seen,
            "SignedData with certificates, without content and signers",
        ))
    };
    let info = ContentInfo::from_der(der).map_err(|fault| malformed(fault.to_string()))?;
    if info.content_type != super::oid::SIGNED_DATA {
        return Err(malformed(super::algorithm::described(info.content_type)));
    }
    let signed: SignedData =
        info.content.decode_as().map_err(|fault: der::Error| malformed(fault.to_string()))?;
    let SignedData { certificates, signer_infos: SignerInfos(signers), encap_content_info, .. } =
        signed;
    if !signers.is_empty() || encap_content_info.econtent.is_some() {
        return Err(malformed("content or signers".to_owned()));
    }
    let Some(CertificateSet(set)) = certificates else { return Ok(Vec::new()) };
    set.iter()
        .map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => {
                certificate.to_der().map_err(|fault| malformed(fault.to_string()))
            }
            CertificateChoices::Other(_) => {
                Err(malformed("a certificate of another format".to_owned()))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_8951_3_c_the_skeleton_is_der_octet_for_octet() {
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
        assert_eq!(certificates(sample).unwrap().len(), 4);
        assert!(certificates(&[0x30, 0]).is_err());
    }
}
