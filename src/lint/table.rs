//! The table of rules, and the rules about DER itself.

use super::{
    FieldName, LintFinding, RuleKept, certificate, constraints, crl, extensions, general_name, key,
    name, policies, profile,
    read::Broken,
    rule::{LintCheck, LintRule, by_shape, either},
    status,
    view::Unread,
};

static CERTIFICATE_STRUCTURE: LintRule = by_shape(
    "certificate",
    "rfc5280.4.1.structure",
    "A TBSCertificate has the fields of RFC 5280, in their order and of their types.",
);
static CRL_STRUCTURE: LintRule = by_shape(
    "CRL",
    "rfc5280.5.1.structure",
    "A TBSCertList has the fields of RFC 5280, in their order and of their types.",
);
static EXTENSIONS_STRUCTURE: LintRule = by_shape(
    "both",
    "rfc5280.4.1.2.9.structure",
    "Each extension is an OID, critical or not, and an OCTET STRING.",
);
static FORM: LintRule = either(
    "x690.10.1.form",
    "Tags, lengths and contents fit together, each in its only form in DER.",
    |view| view.breaks.first(Broken::Form),
);

static ENCODING: &[LintRule] = &[
    either("x690.8.19.oid", "An OID has whole arcs without padding.", |view| {
        view.breaks.first(Broken::Oid)
    }),
    either("x690.8.3.integer", "An INTEGER has its shortest form.", |view| {
        view.breaks.first(Broken::Integer)
    }),
    either("x690.8.8.null", "NULL has no content.", |view| view.breaks.first(Broken::Null)),
    either("x690.8.23.text", "A character string has only characters of its type.", |view| {
        view.breaks.first(Broken::Text)
    }),
    either("x690.11.1.boolean", "TRUE is the byte FF.", |view| view.breaks.first(Broken::Boolean)),
    either(
        "x690.11.2.bit-string",
        "Unused bits of a BIT STRING are fewer than 8, and zero.",
        |view| view.breaks.first(Broken::BitString),
    ),
    either(
        "x690.11.6.set-order",
        "The elements of a SET are in the order of their bytes.",
        |view| view.breaks.first(Broken::SetOrder),
    ),
];

/// The rules in groups, in the order of the documents.
fn groups() -> [&'static [LintRule]; 15] {
    use std::slice::from_ref;
    [
        from_ref(&FORM),
        ENCODING,
        from_ref(&CERTIFICATE_STRUCTURE),
        certificate::RULES,
        name::RULES,
        key::RULES,
        from_ref(&EXTENSIONS_STRUCTURE),
        extensions::RULES,
        general_name::RULES,
        constraints::RULES,
        policies::RULES,
        status::RULES,
        from_ref(&CRL_STRUCTURE),
        crl::RULES,
        profile::RULES,
    ]
}

/// Every rule, in the order of the documents.
pub(super) fn every_rule() -> impl Iterator<Item = &'static LintRule> {
    groups().into_iter().flatten()
}

/// The broken rules, by a function that checks one.
pub(super) fn broken(check: impl Fn(LintCheck) -> RuleKept) -> Vec<LintFinding> {
    let find =
        |rule: &'static LintRule| check(rule.check).err().map(|field| LintFinding { rule, field });
    every_rule().filter_map(find).collect()
}

/// The finding if fields cannot be read.
pub(super) fn unread((kind, field): (Unread, FieldName)) -> Vec<LintFinding> {
    let rule = match kind {
        Unread::Form => &FORM,
        Unread::Certificate => &CERTIFICATE_STRUCTURE,
        Unread::Crl => &CRL_STRUCTURE,
        Unread::Extensions => &EXTENSIONS_STRUCTURE,
    };
    vec![LintFinding { rule, field }]
}
