//! Reads an answer of any server, also of one from before RFC 9908.

use super::{
    AskedExtension, CsrAttrsResponse,
    asn1::{AttrOrOid, ExtensionTemplate, Template},
    is_challenge,
    key::{bare_key, key_of, key_of_template},
};
use crate::{
    pki::{Error, algorithm, name, oid},
    types::{Code, CsrAttribute, Rejection, SubjectAttribute},
};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode, Tag, Tagged,
    asn1::{Any, SetOfVec},
};
use x509_cert::{attr::Attribute, ext::Extension};

impl CsrAttrsResponse {
    /// Reads an answer of any server.
    ///
    /// If the answer has a template, the rest is ignored (RFC 9908 §4). Exceptions are the
    /// signature's algorithm and the attributes that bind a CSR to its connection. Unknown elements
    /// are kept as attributes. Also accepted (D-16):
    ///
    /// - the sample of RFC 7030 §4.5.2, whose extensionRequest holds a bare OID;
    /// - curves and hash functions as bare OIDs;
    /// - an extensionReqTemplate that holds a single template.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no CsrAttrs.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        read(der).map_err(|rejection| {
            Error::Malformed(Rejection::of(
                Code::CsrattrsForm,
                rejection,
                "an answer such as MAsGCSqGSIb3DQEJBw==",
            ))
        })
    }

    fn take_oid(&mut self, found: ObjectIdentifier) {
        if name::is_of_subject(found) {
            self.subject.push(SubjectAttribute { kind: found, value: None });
        } else if algorithm::is_of_signature(found) {
            self.signatures.push(found);
        } else if let Some(key) = bare_key(found) {
            self.key.get_or_insert(key);
        } else if is_extension(found) {
            self.extensions.push(AskedExtension { oid: found, value: None });
        } else {
            self.attributes.push(CsrAttribute { kind: found, value: None });
        }
    }

    fn take_attribute(&mut self, attribute: &Attribute) -> der::Result<()> {
        let found = attribute.oid;
        let values = attribute.values.as_slice();
        if found == oid::EXTENSION_REQUEST {
            for value in values {
                match value.decode_as::<ObjectIdentifier>() {
                    Ok(bare) => self.take_oid(bare),
                    Err(_) => self.take_extensions(value.decode_as::<Vec<Extension>>()?),
                }
            }
        } else if found == oid::EXTENSION_REQUEST_TEMPLATE {
            // Also outside of a template: its meaning is clear.
            values.iter().try_for_each(|value| self.take_extension_templates(value))?;
        } else if found == oid::REQUEST_TEMPLATE {
            // A template inside a template has no meaning.
        } else if let Some(key) = key_of(found, values) {
            self.key.get_or_insert(key);
        } else if values.is_empty() {
            self.take_oid(found);
        } else if name::is_of_subject(found) {
            for value in values {
                self.subject.push(SubjectAttribute { kind: found, value: Some(text(value)?) });
            }
        } else {
            for value in values {
                let value = Some(value.to_der()?);
                self.attributes.push(CsrAttribute { kind: found, value });
            }
        }
        Ok(())
    }

    fn take_extensions(&mut self, extensions: Vec<Extension>) {
        self.extensions.extend(extensions.into_iter().map(|extension| AskedExtension {
            oid: extension.extn_id,
            value: Some(extension.extn_value.as_bytes().to_vec()),
        }));
    }

    fn take_template(&mut self, template: &Template) -> der::Result<()> {
        if template.version != 0 {
            return Err(Tag::Integer.value_error().into());
        }
        for asked in template.subject.iter().flatten().flat_map(SetOfVec::iter) {
            let value = asked.value.as_ref().map(text).transpose()?;
            self.subject.push(SubjectAttribute { kind: asked.kind, value });
        }
        self.key = template.key.as_ref().map(key_of_template).transpose()?;
        template.attributes.iter().try_for_each(|attribute| self.take_attribute(attribute))
    }

    fn take_extension_templates(&mut self, value: &Any) -> der::Result<()> {
        let list = value
            .decode_as::<Vec<ExtensionTemplate>>()
            .or_else(|_| value.decode_as::<ExtensionTemplate>().map(|single| vec![single]))?;
        self.extensions.extend(list.into_iter().map(|asked| AskedExtension {
            oid: asked.oid,
            value: asked.value.map(|value| value.as_bytes().to_vec()),
        }));
        Ok(())
    }
}

fn read(der: &[u8]) -> der::Result<CsrAttrsResponse> {
    let elements = Vec::<AttrOrOid>::from_der(der)?;
    let mut templates = elements.iter().filter_map(|element| match element {
        AttrOrOid::Attribute(attribute) if attribute.oid == oid::REQUEST_TEMPLATE => {
            Some(&attribute.values)
        }
        _ => None,
    });
    let template = templates.next();
    if templates.next().is_some() || template.is_some_and(|values| values.len() != 1) {
        return Err(Tag::Set.length_error().into());
    }
    let mut answer = CsrAttrsResponse::default();
    for value in template.into_iter().flat_map(SetOfVec::iter) {
        answer.take_template(&value.decode_as()?)?;
    }
    for element in &elements {
        match element {
            AttrOrOid::Oid(found) => {
                let listed = || answer.attributes.iter().any(|asked| asked.kind == *found);
                let beside =
                    algorithm::is_of_signature(*found) || (is_challenge(*found) && !listed());
                if template.is_none() || beside {
                    answer.take_oid(*found);
                }
            }
            AttrOrOid::Attribute(attribute) if template.is_none() => {
                answer.take_attribute(attribute)?;
            }
            AttrOrOid::Attribute(_) => {}
        }
    }
    Ok(answer)
}

/// id-ce (RFC 5280 §4.2.1): the arc of extensions in an extensionRequest.
fn is_extension(found: ObjectIdentifier) -> bool {
    found.to_string().starts_with("2.5.29.")
}

fn text(value: &Any) -> der::Result<String> {
    name::text(value.into()).ok_or_else(|| value.tag().value_error().into())
}
