//! Builds requests that meet the demands of `/csrattrs` (RFC 7030 §4.5.2, RFC 9908 §3).

use super::{CsrBuilder, CsrError, not_der};
use crate::{
    pki::{
        SubjectAltName,
        algorithm::{self, described},
        csrattrs::{AskedExtension, CsrAttrsResponse, is_challenge},
        name::string,
        oid, private_key,
    },
    types::{Digest, KeyKind, SubjectAttribute},
};
use der::{Decode, Encode, asn1::OctetString, asn1::SetOfVec};
use x509_cert::{
    attr::AttributeTypeAndValue,
    ext::Extension,
    ext::pkix::name::GeneralName,
    name::{Name, RdnSequence, RelativeDistinguishedName},
};

impl CsrBuilder {
    /// Adds the elements that the server requests with a value: subject attributes, alternative
    /// names, extensions, attributes, and the hash function for this kind of key. Existing elements
    /// are not changed. Returns descriptions of the requested elements that are still missing,
    /// except those that bind the request to its connection ([`CsrAttrsResponse::asks_for_linking`]).
    ///
    /// # Errors
    /// [`CsrError::Der`] if the server sends a value that cannot be encoded.
    pub fn answering(
        mut self,
        asked: &CsrAttrsResponse,
        kind: KeyKind,
    ) -> Result<(Self, Vec<String>), CsrError> {
        let rejection = not_der("a demand of the server");
        let mut missing = Vec::new();
        self.answer_subject(&asked.subject, &mut missing).map_err(&rejection)?;
        for extension in &asked.extensions {
            if extension.oid == oid::SUBJECT_ALT_NAME {
                self.answer_san(extension, &mut missing).map_err(&rejection)?;
            } else if self.extensions.iter().any(|there| there.extn_id == extension.oid) {
            } else if let Some(value) = &extension.value {
                self = self.extension(extension.oid, false, value)?;
            } else {
                missing.push(format!("the extension {}", described(extension.oid)));
            }
        }
        for attribute in &asked.attributes {
            if self.attributes.iter().any(|there| there.oid == attribute.kind) {
            } else if let Some(value) = &attribute.value {
                self = self.attribute(attribute.kind, value)?;
            } else if !is_challenge(attribute.kind) {
                missing.push(format!("the attribute {}", described(attribute.kind)));
            }
        }
        if !asked.signatures.is_empty() && kind != KeyKind::Ed25519 {
            let wanted = |digest: &Digest| {
                let names = [algorithm::signature(kind, *digest), algorithm::hash_oid(*digest)];
                names.iter().any(|name| asked.signatures.contains(name))
                    && private_key::signs_with(kind, *digest)
            };
            self.digest = Digest::ALL.into_iter().find(wanted);
            if self.digest.is_none() {
                let names: Vec<String> =
                    asked.signatures.iter().map(|one| described(*one)).collect();
                missing.push(format!("a signature by {}", names.join(" or ")));
            }
        }
        Ok((self, missing))
    }

    /// Inserts these attributes before the existing ones: a name is ordered from the general to the
    /// specific.
    fn answer_subject(
        &mut self,
        asked: &[SubjectAttribute],
        missing: &mut Vec<String>,
    ) -> der::Result<()> {
        let name =
            if self.subject.is_empty() { Name::default() } else { Name::from_der(&self.subject)? };
        let there: Vec<AttributeTypeAndValue> = name.iter().cloned().collect();
        let count = |kind| there.iter().filter(|one| one.oid == kind).count();
        let mut added = Vec::new();
        for one in asked {
            let kind = described(one.kind);
            match &one.value {
                None if count(one.kind) == 0 => missing.push(format!("{kind} in the subject")),
                None => {}
                Some(value) => {
                    let attribute =
                        AttributeTypeAndValue { oid: one.kind, value: string(one.kind, value)? };
                    let same = |other: &AttributeTypeAndValue| {
                        other.oid == one.kind && other.value.value() == value.as_bytes()
                    };
                    if there.iter().any(same) {
                        continue;
                    }
                    let wanted = asked.iter().filter(|other| other.kind == one.kind).count();
                    if count(one.kind) >= wanted {
                        missing.push(format!("{kind} = \"{value}\" in the subject"));
                    } else {
                        let rdn = SetOfVec::try_from([attribute])?;
                        added.push(RelativeDistinguishedName::from(rdn));
                    }
                }
            }
        }
        if !added.is_empty() {
            added.extend(RdnSequence::from(name).iter().cloned());
            self.subject = RdnSequence::from(added).to_der()?;
        }
        Ok(())
    }

    fn answer_san(&mut self, asked: &AskedExtension, missing: &mut Vec<String>) -> der::Result<()> {
        let mut names = match &self.san {
            Some(san) => Vec::<GeneralName>::from_der(san.extn_value.as_bytes())?,
            None => Vec::new(),
        };
        let Some(value) = &asked.value else {
            if names.is_empty() {
                missing.push("an alternative name".to_owned());
            }
            return Ok(());
        };
        let held =
            self.san.as_ref().and_then(|san| SubjectAltName::parse(san.extn_value.as_bytes()).ok());
        let kinds: Vec<_> =
            held.iter().flat_map(SubjectAltName::entries).map(|entry| entry.kind).collect();
        let entries = SubjectAltName::parse(value).map_err(|_| der::Tag::Sequence.value_error())?;
        let asked_names = Vec::<GeneralName>::from_der(value)?;
        let before = names.len();
        for (entry, name) in entries.entries().iter().zip(asked_names) {
            if !entry.is_open() {
                if !names.contains(&name) {
                    names.push(name);
                }
            } else if !kinds.contains(&entry.kind) {
                let kind = entry.kind.map_or_else(|| "some".to_owned(), |kind| kind.to_string());
                missing.push(format!("an alternative name of kind {kind}"));
            }
        }
        if names.len() > before {
            self.san = Some(Extension {
                extn_id: oid::SUBJECT_ALT_NAME,
                critical: false,
                extn_value: OctetString::new(names.to_der()?)?,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pki::{Csr, PrivateKey, csrattrs::Key},
        types::{CsrAttribute, SanKind},
    };

    fn named(kind: der::asn1::ObjectIdentifier, value: Option<&str>) -> SubjectAttribute {
        SubjectAttribute { kind, value: value.map(str::to_owned) }
    }

    #[test]
    fn given_values_are_added_and_open_ones_reported() {
        let asked = CsrAttrsResponse {
            subject: vec![
                named(oid::COUNTRY, Some("DE")),
                named(oid::ORGANIZATION, Some("Example")),
                named(oid::ORGANIZATIONAL_UNIT, None),
                named(oid::COMMON_NAME, None),
            ],
            key: Some(Key::Kind(KeyKind::P521)),
            signatures: vec![oid::ECDSA_SHA256],
            extensions: vec![
                AskedExtension::open_san(&[SanKind::Dns, SanKind::Ip]).unwrap(),
                AskedExtension { oid: oid::KEY_USAGE, value: Some(vec![3, 2, 7, 0x80]) },
                AskedExtension { oid: oid::EXTENDED_KEY_USAGE, value: None },
            ],
            attributes: vec![
                CsrAttribute { kind: "1.2.3".parse().unwrap(), value: Some(vec![12, 1, 97]) },
                CsrAttribute { kind: "1.2.4".parse().unwrap(), value: None },
                CsrAttribute { kind: oid::CHALLENGE_PASSWORD, value: None },
            ],
        };
        let key = PrivateKey::generate(KeyKind::P521).unwrap();
        let builder = CsrBuilder::new().subject("CN=a,O=Example").unwrap();
        let builder = builder.san(&["dns:a.example".parse().unwrap()]).unwrap();
        let (builder, missing) = builder.answering(&asked, key.kind()).unwrap();
        assert_eq!(
            missing,
            [
                "ou (2.5.4.11) in the subject",
                "an alternative name of kind ip",
                "the extension id-ce-extKeyUsage (2.5.29.37)",
                "the attribute 1.2.4"
            ]
        );
        let csr = Csr::verify(&builder.build(&key).unwrap()).unwrap();
        assert_eq!(csr.subject().to_string(), "CN=a,O=Example,C=DE");
        assert_eq!(csr.digest(), Some(Digest::Sha256));
        assert_eq!(csr.san().unwrap().texts(), ["dns:a.example"]);
        assert!(csr.extensions().iter().any(|one| one.oid == oid::KEY_USAGE));
        assert_eq!(csr.attribute("1.2.3".parse().unwrap()).unwrap(), Some(&[12, 1, 97][..]));
    }

    #[test]
    fn existing_elements_are_not_changed() {
        let asked = CsrAttrsResponse {
            subject: vec![named(oid::ORGANIZATION, Some("Example"))],
            // With a key on P-256 the library has SHA-256 only.
            signatures: vec![oid::ECDSA_SHA512],
            ..CsrAttrsResponse::default()
        };
        let before = CsrBuilder::new().subject("CN=a,O=Other").unwrap();
        let (after, missing) = before.clone().answering(&asked, KeyKind::P256).unwrap();
        assert_eq!(after.subject, before.subject);
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing[0].contains("\"Example\"") && missing[1].contains("SHA512"), "{missing:?}");
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        assert!(Csr::verify(&after.build(&key).unwrap()).is_ok());
        // RSA signs with each.
        for (digest, signature) in [
            (Digest::Sha256, oid::RSA_SHA256),
            (Digest::Sha384, oid::SHA384),
            (Digest::Sha512, oid::RSA_SHA512),
        ] {
            let asked =
                CsrAttrsResponse { signatures: vec![signature], ..CsrAttrsResponse::default() };
            let key = PrivateKey::generate(KeyKind::Rsa(2048)).unwrap();
            let (builder, missing) = before.clone().answering(&asked, key.kind()).unwrap();
            assert!(missing.is_empty());
            assert_eq!(Csr::verify(&builder.build(&key).unwrap()).unwrap().digest(), Some(digest));
        }
    }
}
