//! Writes an answer: as a list, as a template, or both.

use super::{
    AskedExtension, CsrAttrsResponse,
    asn1::{AttrOrOid, AttributeTemplate, ExtensionTemplate, Template},
    is_challenge,
    key::{key_attribute, key_template},
};
use crate::{
    pki::{name::string, oid},
    types::CsrAttrsForm,
};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode,
    asn1::{Any, OctetString, SetOfVec},
};
use x509_cert::{attr::Attribute, ext::Extension};

impl CsrAttrsResponse {
    /// Writes the answer, DER.
    ///
    /// A template cannot name the signature's algorithm. RFC 7030 §3.5 and RFC 7894 §4 require every
    /// answer to list the attributes that bind a CSR to its connection. So both are written beside the
    /// template, in the order of the list.
    ///
    /// # Errors
    /// Those of the encoder, such as for a value that its type cannot hold.
    pub fn to_der(&self, form: CsrAttrsForm) -> der::Result<Vec<u8>> {
        let mut out = Vec::new();
        let list = form != CsrAttrsForm::Rfc9908;
        let template = form != CsrAttrsForm::Rfc8951;
        for attribute in &self.attributes {
            if list || is_challenge(attribute.kind) {
                out.push(match &attribute.value {
                    None => AttrOrOid::Oid(attribute.kind),
                    Some(value) => one_value(attribute.kind, Any::from_der(value)?)?,
                });
            }
        }
        if list {
            for attribute in &self.subject {
                out.push(match &attribute.value {
                    None => AttrOrOid::Oid(attribute.kind),
                    Some(value) => one_value(attribute.kind, string(attribute.kind, value)?)?,
                });
            }
            if let Some(key) = self.key {
                out.push(AttrOrOid::Attribute(key_attribute(key)?));
            }
            let (given, left): (Vec<_>, Vec<_>) =
                self.extensions.iter().partition(|asked| asked.value.is_some());
            if !given.is_empty() {
                out.push(AttrOrOid::Attribute(extension_request(&given)?));
            }
            out.extend(left.iter().map(|asked| AttrOrOid::Oid(asked.oid)));
        }
        if template && self.needs_template() {
            let value = Any::encode_from(&self.template()?)?;
            out.push(one_value(oid::REQUEST_TEMPLATE, value)?);
        }
        out.extend(self.signatures.iter().map(|signature| AttrOrOid::Oid(*signature)));
        out.to_der()
    }

    /// A template without any demand would have no effect.
    fn needs_template(&self) -> bool {
        let rest = Self { signatures: Vec::new(), ..self.clone() };
        !rest.is_empty()
    }

    fn template(&self) -> der::Result<Template> {
        let subject = self.subject.iter().map(|asked| {
            let value = asked.value.as_ref().map(|value| string(asked.kind, value)).transpose()?;
            SetOfVec::try_from([AttributeTemplate { kind: asked.kind, value }])
        });
        let subject = subject.collect::<der::Result<Vec<_>>>()?;
        let mut attributes = Vec::new();
        if self.extensions.iter().any(AskedExtension::is_open) {
            let templates = self.extensions.iter().map(|asked| {
                Ok(ExtensionTemplate {
                    oid: asked.oid,
                    critical: None,
                    value: asked.value.clone().map(OctetString::new).transpose()?,
                })
            });
            // A list, as the module and the example have it, not the single one of the prose (D-16).
            let value = Any::encode_from(&templates.collect::<der::Result<Vec<_>>>()?)?;
            let values = SetOfVec::try_from([value])?;
            attributes.push(Attribute { oid: oid::EXTENSION_REQUEST_TEMPLATE, values });
        } else if !self.extensions.is_empty() {
            attributes.push(extension_request(&self.extensions.iter().collect::<Vec<_>>())?);
        }
        for asked in &self.attributes {
            let value = asked.value.as_deref().map(Any::from_der).transpose()?;
            let values = SetOfVec::try_from(value.into_iter().collect::<Vec<_>>())?;
            attributes.push(Attribute { oid: asked.kind, values });
        }
        Ok(Template {
            version: 0,
            subject: Some(subject).filter(|subject| !subject.is_empty()),
            key: self.key.map(key_template).transpose()?,
            attributes: attributes.try_into()?,
        })
    }
}

fn one_value(kind: ObjectIdentifier, value: Any) -> der::Result<AttrOrOid> {
    Ok(AttrOrOid::Attribute(Attribute { oid: kind, values: SetOfVec::try_from([value])? }))
}

/// One extensionRequest with one Extensions (RFC 9908 §3.2).
fn extension_request(asked: &[&AskedExtension]) -> der::Result<Attribute> {
    let extensions = asked.iter().map(|asked| {
        Ok(Extension {
            extn_id: asked.oid,
            critical: false,
            extn_value: OctetString::new(asked.value.clone().unwrap_or_default())?,
        })
    });
    let value = Any::encode_from(&extensions.collect::<der::Result<Vec<_>>>()?)?;
    Ok(Attribute { oid: oid::EXTENSION_REQUEST, values: SetOfVec::try_from([value])? })
}
