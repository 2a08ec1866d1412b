//! Each rule, by structures that break it.

use crate::{
    counting::Counting,
    malformed::{Good, all, good},
};
use estd::{
    ca::signer::Signer,
    lint::{self, LintFindings, LintedTbs, lint_rules},
    pki::PrivateKey,
    types::KeyKind,
};
use std::collections::{BTreeMap, BTreeSet};

fn lint(good: &Good, der: Vec<u8>) -> Result<LintedTbs, LintFindings> {
    if good.crl {
        lint::crl(der.into(), &good.expected_crl())
    } else {
        lint::certificate(der.into(), &good.expected_certificate())
    }
}

async fn sign(signer: &Counting, good: &Good, der: Vec<u8>) -> Result<(), LintFindings> {
    let tbs = lint(good, der)?;
    signer.sign(&tbs).await.unwrap();
    Ok(())
}

#[tokio::test]
async fn good_structures_pass_and_300_malformed_ones_are_stopped_by_the_rule_that_they_break() {
    let signer = Counting::new(PrivateKey::generate(KeyKind::P256).unwrap(), false);
    for one in good() {
        let passed = sign(&signer, &one, one.tbs.der()).await;
        assert!(passed.is_ok(), "{}: {passed:?}", one.name);
    }
    let before = signer.signed();
    assert_eq!(before, good().len());

    let (mut wrong, mut alone, mut count) = (Vec::new(), 0, 0);
    let mut broken = BTreeMap::<&str, usize>::new();
    for one in all() {
        count += 1;
        *broken.entry(one.rule).or_default() += 1;
        let Err(findings) = sign(&signer, &one.good, one.der).await else {
            wrong.push(format!("{}: {} passes", one.rule, one.name));
            continue;
        };
        let ids: Vec<_> = findings.findings().iter().map(|one| one.rule.id).collect();
        alone += usize::from(ids == [one.rule]);
        // A field that cannot be read, or another one, agrees with no record either.
        let others = ids.iter().filter(|id| **id != one.rule && !id.starts_with("profile."));
        if !ids.contains(&one.rule) || others.count() > 0 {
            wrong.push(format!("{}: {}: {ids:?}", one.rule, one.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(signer.signed(), before, "nothing malformed was signed");
    assert!(count >= 300, "{count} structures");
    assert!(alone * 10 >= count * 9, "{alone} of {count} break one rule alone");
    let known: BTreeSet<&str> = lint_rules().map(|rule| rule.id).collect();
    let missing: Vec<_> = known.iter().filter(|id| !broken.contains_key(**id)).collect();
    assert!(missing.is_empty(), "no structure breaks {missing:?}");
}

#[test]
fn ids_are_unique_and_name_their_document() {
    let mut seen = BTreeSet::new();
    for rule in lint_rules() {
        assert!(seen.insert(rule.id), "{} is used twice", rule.id);
        let (document, rest) = rule.id.split_once('.').unwrap();
        let known = document.strip_prefix("rfc").is_some_and(|n| n.parse::<u16>().is_ok());
        assert!(known || ["x690", "x501", "profile"].contains(&document), "{}", rule.id);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        assert!(rest.chars().all(plain), "{}", rule.id);
        assert!(rule.text.ends_with('.') && !rule.text.contains("  "), "{}", rule.id);
    }
}

/// The reference page, generated: `ESTD_BLESS=1 cargo test --test lint rules_are_documented` writes it.
#[test]
fn rules_are_documented() {
    const DOCUMENTS: [(&str, &str); 9] = [
        ("x690", "DER (X.690)"),
        ("x501", "Names (X.501)"),
        ("rfc3279", "RSA keys (RFC 3279)"),
        ("rfc4055", "RSA signatures (RFC 4055)"),
        ("rfc5280", "Certificates and CRLs (RFC 5280)"),
        ("rfc5480", "Keys on curves (RFC 5480, RFC 8813, RFC 8410, RFC 5758)"),
        ("rfc6818", "Policies (RFC 6818)"),
        ("rfc9608", "Certificates without revocation (RFC 9608)"),
        ("profile", "CA, record and profile"),
    ];
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/lint.md");
    let mut page = "# Rules of the linter\n\n\
        Before a CA signs, it checks each certificate and CRL against these rules ([how](../design/lint.md)).\n\
        The id of a broken rule is in the field `lint_rules` of the audit event. `src/lint` is the source of\n\
        this page.\n"
        .to_owned();
    for (document, title) in DOCUMENTS {
        page += &format!("\n## {title}\n\n| Rule | Of | Text |\n|---|---|---|\n");
        let same = |id: &str| {
            let found = id.split('.').next().unwrap();
            let found =
                if ["rfc8813", "rfc8410", "rfc5758"].contains(&found) { "rfc5480" } else { found };
            found == document
        };
        for rule in lint_rules().filter(|rule| same(rule.id)) {
            page += &format!("| `{}` | {} | {} |\n", rule.id, rule.applies_to(), rule.text);
        }
    }
    assert!(lint_rules().all(|rule| page.contains(rule.id)), "a document has no title");
    if std::env::var_os("ESTD_BLESS").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(found, page, "ESTD_BLESS=1 writes docs/reference/lint.md");
}
