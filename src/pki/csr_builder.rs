//! Builds PKCS#10 certification requests (RFC 2986).

mod alt_name;
mod answer;

pub use alt_name::AltName;

use crate::pki::{
    CertificateFields, ChangeSubjectName, oid,
    private_key::{KeyError, PrivateKey},
};
use crate::types::Digest;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{Any, BitString, Ia5StringRef, OctetString, PrintableStringRef, SetOfVec};
use der::{Decode, Encode, Sequence, Tag, Tagged};
use std::str::FromStr;
use x509_cert::attr::Attribute;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// The error of a request that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// The text is no distinguished name.
    #[error(
        "{seen:?} is no subject: {why}; write it as RFC 4514 has it: \"CN=device-1,O=Example,C=CH\""
    )]
    Subject {
        /// The text.
        seen: String,
        /// The rule that it breaks.
        why: String,
    },
    /// The text is no alternative name.
    #[error(
        "{seen:?} is no alternative name: {why}; write dns:NAME, ip:ADDRESS, uri:URI or email:ADDRESS"
    )]
    AlternativeName {
        /// The text.
        seen: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A certificate has a name.
    #[error("got neither a subject nor an alternative name; expected: one of them")]
    NoName,
    /// A certificate, name, extension or attribute in the arguments is not DER.
    #[error("{what} is not valid DER: {source}")]
    Der {
        /// Which part.
        what: &'static str,
        /// Where it breaks.
        source: der::Error,
    },
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

pub(super) fn not_der(what: &'static str) -> impl Fn(der::Error) -> CsrError {
    move |source| CsrError::Der { what, source }
}

/// CertificationRequestInfo with the name and the key unchanged, byte for byte.
#[derive(Sequence)]
struct Info {
    version: u8,
    subject: Any,
    public_key: Any,
    /// Present even when empty (RFC 2986 §4.1).
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    attributes: SetOfVec<Attribute>,
}

/// CertificationRequest around [`Info`].
#[derive(Sequence)]
struct CertificationRequest {
    info: Any,
    algorithm: Any,
    signature: BitString,
}

/// Builds a PKCS#10 certification request.
#[derive(Debug, Clone)]
pub struct CsrBuilder {
    subject: Vec<u8>,
    san: Option<Extension>,
    extensions: Vec<Extension>,
    attributes: Vec<Attribute>,
    /// None: the default for the key.
    digest: Option<Digest>,
}

impl Default for CsrBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl CsrBuilder {
    /// Starts with an empty subject and no requested attributes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            subject: Vec::new(),
            san: None,
            extensions: Vec::new(),
            attributes: Vec::new(),
            digest: None,
        }
    }

    /// Sets the subject from RFC 4514 text, most specific first: `CN=device-1,O=Example,C=CH`.
    /// Blanks after a comma are ignored; the empty text is the empty name.
    ///
    /// # Errors
    /// [`CsrError::Subject`].
    pub fn subject(mut self, text: &str) -> Result<Self, CsrError> {
        let rejection =
            |why: &str| CsrError::Subject { seen: text.to_owned(), why: why.to_owned() };
        let name = if text.trim().is_empty() {
            Name::default()
        } else {
            Name::from_str(&without_blanks(text)).map_err(|_| {
                rejection("it is not a list of TYPE=value with types such as CN, OU, O, L, ST, C, serialNumber")
            })?
        };
        for attribute in name.iter() {
            let value = &attribute.value;
            // The parser selects the string type of these attributes without checking the
            // characters.
            let characters = match value.tag() {
                Tag::PrintableString => PrintableStringRef::try_from(value).is_ok(),
                Tag::Ia5String => Ia5StringRef::try_from(value).is_ok(),
                _ => true,
            };
            if !characters {
                return Err(rejection(
                    "C and serialNumber allow only letters, digits, blanks and '()+,-./:=?",
                ));
            }
            if value.value().is_empty() {
                return Err(rejection("a value is empty"));
            }
        }
        self.subject = name.to_der().map_err(not_der("the subject"))?;
        Ok(self)
    }

    /// Requests these alternative names, in this order, and replaces earlier ones. The extension is
    /// critical if the subject is empty when the request is built (RFC 5280 §4.2.1.6).
    ///
    /// # Errors
    /// [`CsrError::Der`] if a name holds characters outside ASCII.
    pub fn san(mut self, names: &[AltName]) -> Result<Self, CsrError> {
        let rejection = not_der("an alternative name");
        self.san = if names.is_empty() {
            None
        } else {
            let names: Vec<GeneralName> = names
                .iter()
                .map(AltName::general_name)
                .collect::<Result<_, _>>()
                .map_err(&rejection)?;
            let value = names.to_der().map_err(&rejection)?;
            Some(extension(oid::SUBJECT_ALT_NAME, false, &value)?)
        };
        Ok(self)
    }

    /// Requests one more extension; `value` is the DER inside extnValue.
    ///
    /// # Errors
    /// [`CsrError::Der`] if `value` is longer than DER allows.
    pub fn extension(
        mut self,
        oid: ObjectIdentifier,
        critical: bool,
        value: &[u8],
    ) -> Result<Self, CsrError> {
        self.extensions.push(extension(oid, critical, value)?);
        Ok(self)
    }

    /// Adds an attribute with one value in DER, such as a challengePassword (RFC 7030 §3.5).
    ///
    /// # Errors
    /// [`CsrError::Der`] if `value` is not DER.
    pub fn attribute(mut self, oid: ObjectIdentifier, value: &[u8]) -> Result<Self, CsrError> {
        let rejection = not_der("an attribute");
        let mut values = SetOfVec::new();
        values.insert(Any::from_der(value).map_err(&rejection)?).map_err(&rejection)?;
        self.attributes.push(Attribute { oid, values });
        Ok(self)
    }

    /// Adds a challengePassword (RFC 2985 §5.4.1), which EST uses for the channel binding in base64
    /// (RFC 7030 §3.5).
    ///
    /// # Errors
    /// [`CsrError::Der`] if it has characters that no PrintableString has.
    pub fn challenge_password(self, text: &str) -> Result<Self, CsrError> {
        let rejection = not_der("a challengePassword");
        let value =
            PrintableStringRef::new(text).and_then(|text| text.to_der()).map_err(rejection)?;
        self.attribute(oid::CHALLENGE_PASSWORD, &value)
    }

    /// Requests the subject and the alternative names of a certificate, byte for byte, as a
    /// re-enrollment must (RFC 7030 §4.2.2).
    ///
    /// # Errors
    /// [`CsrError::Der`] if it is not a certificate.
    pub fn like_certificate(mut self, certificate: &[u8]) -> Result<Self, CsrError> {
        let fields = CertificateFields::parse(certificate)?;
        let san = fields.extension(oid::SUBJECT_ALT_NAME);
        let san = san.map(|san| extension(oid::SUBJECT_ALT_NAME, san.critical, san.value));
        self.san = san.transpose()?;
        self.subject = fields.subject.to_vec();
        Ok(self)
    }

    /// Requests the subject and the alternative names of `wanted` (RFC 6402 §2.8, RFC 7030 §4.2.2).
    /// The request's own names stay those of the certificate that it replaces.
    ///
    /// # Errors
    /// [`CsrError::NoName`] if `wanted` has neither; [`CsrError::Der`] never.
    pub fn change_names(self, wanted: &Self) -> Result<Self, CsrError> {
        let named = !wanted.subject.is_empty() && wanted.subject != b"\x30\x00";
        let subject = named.then_some(wanted.subject.as_slice());
        let san = wanted.san.as_ref().map(|san| san.extn_value.as_bytes());
        if subject.is_none() && san.is_none() {
            return Err(CsrError::NoName);
        }
        self.attribute(oid::CHANGE_SUBJECT_NAME, &ChangeSubjectName::encode(subject, san))
    }

    /// Signs and encodes the request.
    ///
    /// # Errors
    /// [`CsrError::Key`] if the key cannot sign; [`CsrError::Der`] for a duplicate attribute.
    pub fn build(&self, key: &PrivateKey) -> Result<Vec<u8>, CsrError> {
        let rejection = not_der("the request");
        let subject = if self.subject.is_empty() { b"\x30\x00" } else { self.subject.as_slice() };
        let mut extensions: Vec<Extension> = self.san.iter().cloned().collect();
        if subject == b"\x30\x00" {
            extensions.iter_mut().for_each(|san| san.critical = true);
        }
        extensions.extend(self.extensions.iter().cloned());
        let mut attributes = SetOfVec::new();
        if !extensions.is_empty() {
            let mut values = SetOfVec::new();
            values
                .insert(Any::encode_from(&extensions).map_err(&rejection)?)
                .map_err(&rejection)?;
            attributes
                .insert(Attribute { oid: rfc5912::ID_EXTENSION_REQ, values })
                .map_err(&rejection)?;
        }
        for attribute in &self.attributes {
            attributes.insert(attribute.clone()).map_err(&rejection)?;
        }
        let info = Info {
            version: 0,
            subject: Any::from_der(subject).map_err(&rejection)?,
            public_key: Any::from_der(&key.public_key_spki_der()?).map_err(&rejection)?,
            attributes,
        };
        let info = info.to_der().map_err(&rejection)?;
        let (signature, algorithm) = match self.digest {
            Some(digest) => key.sign_with(&info, digest)?,
            None => {
                key.sign(&info).map(|(signature, algorithm)| (signature, algorithm.to_vec()))?
            }
        };
        let request = CertificationRequest {
            info: Any::from_der(&info).map_err(&rejection)?,
            algorithm: Any::from_der(&algorithm).map_err(&rejection)?,
            signature: BitString::from_bytes(&signature).map_err(&rejection)?,
        };
        request.to_der().map_err(&rejection)
    }
}

fn extension(
    extn_id: ObjectIdentifier,
    critical: bool,
    value: &[u8],
) -> Result<Extension, CsrError> {
    let extn_value = OctetString::new(value).map_err(not_der("an extension"))?;
    Ok(Extension { extn_id, critical, extn_value })
}

/// Removes blanks before each TYPE; values keep theirs.
fn without_blanks(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut escaped = false;
    let mut at_start = true;
    for character in text.trim().chars() {
        if at_start && character == ' ' {
            continue;
        }
        at_start = !escaped && matches!(character, ',' | '+');
        escaped = !escaped && character == '\\';
        clean.push(character);
    }
    clean
}

/// Returns the SubjectPublicKeyInfo of a PKCS#10 request, byte for byte. Its signature is not
/// verified.
///
/// # Errors
/// [`CsrError::Der`] if it is not a request.
pub fn request_public_key_spki(request: &[u8]) -> Result<Vec<u8>, CsrError> {
    super::csr::public_key(request).map(<[u8]>::to_vec).map_err(not_der("the request"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::KeyKind;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn openssl(arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tests need the openssl command");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "openssl {arguments:?}: {text}");
        text
    }

    #[test]
    fn openssl_verifies_requests_of_each_kind_of_key() {
        for kind in
            [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519]
        {
            let key = PrivateKey::generate(kind).unwrap();
            let names: Vec<AltName> = [
                "dns:a.example",
                "ip:192.0.2.1",
                "IP:2001:db8::1",
                "uri:urn:dev:1",
                "email:a@b.example",
            ]
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
            let csr = CsrBuilder::new()
                .subject("CN=device-1, serialNumber=17,O=Ex\\, ample,C=CH")
                .unwrap()
                .san(&names)
                .unwrap()
                .build(&key)
                .unwrap();
            let text = openssl(
                &["req", "-inform", "DER", "-verify", "-noout", "-text", "-nameopt", "RFC2253"],
                &csr,
            );
            assert!(text.contains("verify OK"), "{kind}: {text}");
            assert!(text.contains("CN=device-1,serialNumber=17,O=Ex\\, ample,C=CH"), "{text}");
            assert!(
                text.contains(
                    "DNS:a.example, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, URI:urn:dev:1, email:a@b.example"
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn r_2986_4_1_attributes_stand_even_when_empty() {
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let csr = CsrBuilder::new().subject("CN=x").unwrap().build(&key).unwrap();
        let text = openssl(&["asn1parse", "-inform", "DER"], &csr);
        assert!(text.contains("l=   0 cons: cont [ 0 ]"), "{text}");
    }

    #[test]
    fn alternative_names_are_critical_without_a_subject() {
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let name = ["dns:x.example".parse().unwrap()];
        let csr = CsrBuilder::new().san(&name).unwrap().build(&key).unwrap();
        let text = openssl(&["req", "-inform", "DER", "-verify", "-noout", "-text"], &csr);
        assert!(text.contains("Alternative Name: critical"), "{text}");
    }

    #[test]
    fn a_challenge_password_and_an_extension_are_carried() {
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let csr = CsrBuilder::new()
            .subject("CN=x")
            .unwrap()
            .attribute(ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7"), b"\x0c\x03abc")
            .unwrap()
            .extension(oid::BASIC_CONSTRAINTS, true, b"\x30\x03\x01\x01\xff")
            .unwrap()
            .build(&key)
            .unwrap();
        let text = openssl(&["req", "-inform", "DER", "-verify", "-noout", "-text"], &csr);
        assert!(text.contains("challengePassword") && text.contains("CA:TRUE"), "{text}");
    }

    #[test]
    fn r_7030_4_2_2_names_are_repeated_byte_for_byte() {
        // A name that this builder never writes: TeletexString and a two-valued RDN.
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(
            path("c.cnf"),
            "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=x\nstring_mask=pkix\n\
             [dn]\n0.O=Zürich\n+CN=device 1\n[x]\nsubjectAltName=critical,otherName:1.3.6.1.5.5.7.8.4;SEQ:hw,DNS:B.Example\n\
             [hw]\na=OID:1.3.6.1.4.1.99999.1\nb=FORMAT:HEX,OCT:0102\n",
        )
        .unwrap();
        openssl(
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-config",
                &path("c.cnf"),
                "-keyout",
                &path("k.pem"),
                "-outform",
                "DER",
                "-out",
                &path("c.der"),
                "-multivalue-rdn",
            ],
            b"",
        );
        let certificate = std::fs::read(path("c.der")).unwrap();
        let fields = CertificateFields::parse(&certificate).unwrap();
        let old = PrivateKey::from_pem(std::fs::read(path("k.pem")).unwrap(), None).unwrap();
        assert_eq!(fields.public_key_spki, old.public_key_spki_der().unwrap());

        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let csr = CsrBuilder::new().like_certificate(&certificate).unwrap().build(&key).unwrap();
        let holds = |part: &[u8]| csr.windows(part.len()).any(|window| window == part);
        assert!(holds(fields.subject));
        let san = fields.extension(oid::SUBJECT_ALT_NAME).unwrap();
        assert!(san.critical);
        assert!(holds(
            &extension(oid::SUBJECT_ALT_NAME, true, san.value).unwrap().to_der().unwrap()
        ));
        openssl(&["req", "-inform", "DER", "-verify", "-noout"], &csr);

        let mut trailing = certificate;
        trailing.push(0);
        assert!(CertificateFields::parse(&trailing).is_err());
    }

    #[test]
    fn rejects_other_names() {
        for bad in ["device", "CN=", "XX=1", "C=ü", "CN=a,,O=b", "1.2.3"] {
            assert!(CsrBuilder::new().subject(bad).is_err(), "{bad}");
        }
        for bad in ["a.example", "dns:", "ip:x", "dns:a b", "dir:x", "uri:x", "email:x", "dns:ä"] {
            assert!(bad.parse::<AltName>().is_err(), "{bad}");
        }
    }
}
