//! The extensions of a certificate as text.

use super::{
    CertificateFields, SubjectAltName,
    algorithm::described,
    csr_builder::CsrError,
    extension::{KeyUsage, extended_key_usage},
    oid,
};

/// Describes the extensions of a certificate (DER), one a line.
///
/// # Errors
/// [`CsrError::Der`] if it is not a certificate.
pub fn extension_lines(certificate: &[u8]) -> Result<Vec<String>, CsrError> {
    let fields = CertificateFields::parse(certificate)?;
    let line = |one: &super::CertificateExtension<'_>| {
        let critical = if one.critical { " (critical)" } else { "" };
        let shown = match one.oid {
            oid::SUBJECT_ALT_NAME => {
                SubjectAltName::parse(one.value).ok().map(|san| san.texts().join(", "))
            }
            oid::KEY_USAGE => KeyUsage::parse(one.value).ok().map(|usage| usage.names().join(", ")),
            oid::EXTENDED_KEY_USAGE => extended_key_usage(one.value).ok().map(|usages| {
                usages.iter().map(|usage| described(*usage)).collect::<Vec<_>>().join(", ")
            }),
            _ => None,
        };
        let shown =
            shown.unwrap_or_else(|| format!("{} (DER)", base16ct::lower::encode_string(one.value)));
        format!("{}{critical} = {shown}", described(one.oid))
    };
    Ok(fields.extensions.iter().map(line).collect())
}
