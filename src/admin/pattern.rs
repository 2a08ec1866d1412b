//! Patterns for the names in certificates. They match parsed values: type and value of an attribute,
//! kind and value of a SAN entry. They never match the text of a whole name, so a comma or an equals
//! sign in a value cannot imitate another attribute.

use super::error::{Error, invalid};
use crate::{
    pki::{Certificate, DistinguishedName},
    store::Issuance,
    types::SanKind,
};
use const_oid::ObjectIdentifier;

/// A pattern: `*` matches any characters, `\*` an asterisk, `\\` a backslash, `\,` a comma.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// The parts between the asterisks.
    parts: Vec<String>,
    /// Whether it is case-sensitive.
    case: bool,
}

impl Pattern {
    fn parse(text: &str, case: bool) -> Self {
        let mut parts = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '*' => {
                    parts.push(String::new());
                    continue;
                }
                '\\' => push(&mut parts, chars.next().unwrap_or('\\')),
                other => push(&mut parts, other),
            }
        }
        if !case {
            parts.iter_mut().for_each(|part| part.make_ascii_lowercase());
        }
        Self { parts, case }
    }

    fn matches(&self, value: &str) -> bool {
        let lower;
        let value = if self.case {
            value
        } else {
            lower = value.to_ascii_lowercase();
            &lower
        };
        let [first, middle @ .., last] = &self.parts[..] else {
            return self.parts.first().is_some_and(|only| only == value);
        };
        let Some(mut rest) = value.strip_prefix(first.as_str()) else { return false };
        // The earliest place for each part leaves the most for those after it.
        for part in middle {
            let Some((_, after)) = rest.split_once(part.as_str()) else { return false };
            rest = after;
        }
        rest.ends_with(last.as_str())
    }
}

fn push(parts: &mut [String], c: char) {
    if let Some(part) = parts.last_mut() {
        part.push(c);
    }
}

/// Conditions on the names in a certificate. All must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NamePatterns {
    subject: Vec<(ObjectIdentifier, Pattern)>,
    san: Option<(SanKind, Pattern)>,
}

impl NamePatterns {
    /// Reads `CN=gw-7*,O=Example` and `dns:*.lab.example`.
    pub(super) fn parse(subject: Option<&str>, san: Option<&str>) -> Result<Self, Error> {
        let subject = subject.map(attributes).transpose()?.unwrap_or_default();
        let san = san.map(entry).transpose()?;
        Ok(Self { subject, san })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.subject.is_empty() && self.san.is_none()
    }

    /// Returns whether an issuance has such names; without a certificate, the names in its record
    /// count.
    pub(super) fn match_issuance(&self, issuance: &Issuance) -> bool {
        if self.is_empty() {
            return true;
        }
        if issuance.certificate.is_empty() {
            let subject = DistinguishedName::from_text(&issuance.intent.subject);
            let san = issuance.intent.san.iter().map(String::as_str);
            return self.match_names(subject.ok().as_ref(), san);
        }
        Certificate::parse(&issuance.certificate).is_ok_and(|certificate| {
            let entries = certificate.san().map(|san| san.entries()).unwrap_or_default();
            let san = entries.iter().map(|entry| entry.text.as_str());
            self.match_names(Some(certificate.subject()), san)
        })
    }

    fn match_names<'a>(
        &self,
        subject: Option<&DistinguishedName>,
        mut san: impl Iterator<Item = &'a str>,
    ) -> bool {
        let has = |(kind, pattern): &(ObjectIdentifier, Pattern)| {
            subject.is_some_and(|subject| {
                let mut values = subject.values(*kind);
                values.any(|value| std::str::from_utf8(value).is_ok_and(|v| pattern.matches(v)))
            })
        };
        let in_san = |(wanted, pattern): &(SanKind, Pattern)| {
            // Splits at the first colon: the value may contain others.
            san.any(|entry| {
                entry.split_once(':').is_some_and(|(kind, value)| {
                    kind == wanted.to_string() && pattern.matches(value)
                })
            })
        };
        self.subject.iter().all(has) && self.san.as_ref().is_none_or(in_san)
    }
}

/// Splits at commas that no backslash escapes. The parts keep their escapes.
fn attributes(text: &str) -> Result<Vec<(ObjectIdentifier, Pattern)>, Error> {
    let mut conditions = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            conditions.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        push(&mut conditions, c);
    }
    let condition = |text: &String| {
        let kind = text.split_once('=').and_then(|(kind, value)| {
            Some((DistinguishedName::attribute_type(kind.trim())?, Pattern::parse(value, true)))
        });
        kind.ok_or_else(|| {
            invalid(
                "subject",
                text,
                "TYPE=VALUE, such as CN=gw-7* or CN=gw-7*,O=Example, a type by its name or OID; or \
                 --search for a part of any name",
            )
        })
    };
    conditions.iter().map(condition).collect()
}

fn entry(text: &str) -> Result<(SanKind, Pattern), Error> {
    let known = [SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email];
    let found = text.split_once(':').and_then(|(kind, value)| {
        let kind = known.into_iter().find(|known| known.to_string() == kind)?;
        // DNS names have no case (RFC 4343), and text forms of IPv6 addresses have none here.
        let case = !matches!(kind, SanKind::Dns | SanKind::Ip);
        Some((kind, Pattern::parse(value, case)))
    });
    found.ok_or_else(|| {
        invalid(
            "subjectAltName",
            text,
            "KIND:VALUE, such as dns:*.lab.example, ip:192.0.2.*, uri:urn:uuid:* or \
             email:*@example.com",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(pattern: &str, name: &str) -> bool {
        let name = DistinguishedName::from_text(name).unwrap();
        let patterns = NamePatterns::parse(Some(pattern), None).unwrap();
        patterns.match_names(Some(&name), [].into_iter())
    }

    fn san(pattern: &str, entry: &str) -> bool {
        let patterns = NamePatterns::parse(None, Some(pattern)).unwrap();
        patterns.match_names(None, [entry].into_iter())
    }

    #[test]
    fn a_subject_is_matched_by_type_and_value() {
        for (pattern, name) in [
            ("CN=gw-7*", "CN=gw-7"),
            ("CN=gw-7*", "O=Example,CN=gw-70"),
            ("cn=gw-*-b", "CN=gw-a-b"),
            ("CN=*", "CN=a"),
            ("CN=a*b*c", "CN=abbcbc"),
            ("2.5.4.3=gw", "CN=gw"),
            ("CN=gw*,O=Ex*", "CN=gw-1,O=Example"),
            ("CN=a\\,b", "CN=a\\,b"),
            ("CN=\\*", "CN=*"),
            ("OU=b", "OU=a+OU=b,CN=x"),
        ] {
            assert!(subject(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("CN=gw-7*", "CN=xgw-7"),
            ("CN=gw-7*", "O=gw-7"),
            ("CN=GW-7", "CN=gw-7"),
            ("CN=a*a", "CN=a"),
            ("CN=\\*", "CN=a"),
            ("CN=gw*,O=Other", "CN=gw-1,O=Example"),
            // A value that reads like another attribute.
            ("O=Example", "CN=x\\,O=Example"),
            ("CN=gw-7", "OU=y\\,CN=gw-7"),
        ] {
            assert!(!subject(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_san_is_matched_by_kind_and_value() {
        assert!(san("dns:*.lab.example", "dns:a.LAB.example"));
        assert!(san("dns:\\*.lab.example", "dns:*.lab.example"));
        assert!(san("uri:urn:uuid:*", "uri:urn:uuid:1"));
        assert!(san("ip:192.0.2.*", "ip:192.0.2.7"));
        assert!(!san("dns:\\*.lab.example", "dns:a.lab.example"));
        assert!(!san("dns:*.lab.example", "uri:x.lab.example"));
        assert!(!san("dns:lab.example", "dns:a.lab.example"));
        assert!(!san("email:A@example.com", "email:a@example.com"));
    }

    #[test]
    fn malformed_conditions_are_rejected() {
        for bad in ["device", "", "CN=a,b", "=a", "nonsense=a", "CN=a,"] {
            let error = NamePatterns::parse(Some(bad), None).unwrap_err().to_string();
            assert!(error.contains("expected: TYPE=VALUE"), "{bad}: {error}");
        }
        for bad in ["lab.example", "other:x", "DNS", "host:a"] {
            let error = NamePatterns::parse(None, Some(bad)).unwrap_err().to_string();
            assert!(error.contains("expected: KIND:VALUE"), "{bad}: {error}");
        }
    }
}
