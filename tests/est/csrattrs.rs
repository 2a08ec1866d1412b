//! /csrattrs (requirements of section 13). In tests/interop/csrattrs.rs another program builds CSRs from
//! the answers.

use crate::common::*;

/// The answer, DER, as openssl decodes its base64.
fn der(reply: &Reply) -> Vec<u8> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let compact: Vec<u8> =
        reply.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    openssl_with(&["base64", "-d", "-A"], &compact)
}

/// The output of openssl's ASN.1 reader.
fn shown(reply: &Reply) -> String {
    String::from_utf8(openssl_with(&["asn1parse", "-inform", "DER", "-i"], &der(reply))).unwrap()
}

const LABELS: &str = r#"
[profile.strict]
keys = ["p-384"]
digests = ["sha384"]
require_san = ["dns"]
[label.strict]
profile = "strict"
[label.off]
profile = "strict"
[label.off.csrattrs]
offer = false
[label.list]
profile = "strict"
[label.list.csrattrs]
form = "rfc8951"
attributes = ["1.3.6.1.1.1.1.22", "1.2.3=hex:0c0161"]
[label.template]
profile = "strict"
[label.template.csrattrs]
form = "rfc9908"
"#;

/// proves: R-7030-3.2.2-i
#[tokio::test]
async fn r_7030_4_5_2_a_200_204_or_404() {
    let server = TestServer::start_with(LABELS).await;
    let nothing = server.get("/.well-known/est/csrattrs").await;
    assert_eq!(nothing.status, 204);
    assert!(nothing.body.is_empty());
    for header in ["Content-Type", "Content-Length", "Content-Transfer-Encoding"] {
        assert_eq!(nothing.header(header), None, "{header}");
    }
    let off = server.get("/.well-known/est/off/csrattrs").await;
    assert_eq!(off.status, 404);
    // Bouncy Castle throws on a body here; the line is in the header.
    assert_eq!((off.header("Content-Length"), off.header("Content-Type")), (Some("0"), None));
    let unknown = server.get("/.well-known/est/nobody/csrattrs").await;
    // The answer does not distinguish the two.
    let reason = |reply: &Reply| {
        let line = reply.header("X-Reason").unwrap().to_owned();
        line.split(" (request").next().unwrap().to_owned()
    };
    assert_eq!(reason(&unknown), reason(&off));
    assert_eq!(unknown.status, 404);
    assert_eq!(server.get("/.well-known/est/strict/csrattrs").await.status, 200);

    let head = "HEAD /.well-known/est/strict/csrattrs HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = server.send(head).await;
    assert_eq!((head.status, head.header("Content-Type")), (200, Some("application/csrattrs")));
    let post = post_body("strict/csrattrs", b"", "");
    let rejected = server.send(post).await;
    assert_eq!((rejected.status, rejected.header("Allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn r_7030_4_5_a_nobody_has_to_say_who_he_is() {
    let server = TestServer::start_with(LABELS).await;
    let path = "/.well-known/est/strict/csrattrs";
    let anonymous = server.get(path).await;
    assert_eq!(anonymous.status, 200);
    let wrong =
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nUser-Agent: a\r\n{}\r\n", basic("x", "y"));
    assert_eq!(server.send(wrong).await.body, anonymous.body);
    let (_, stranger) = stranger(server.folder.path(), "/CN=stranger", "");
    let mut connection = server.connect_as(&stranger).await;
    let known =
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nUser-Agent: a\r\n\r\n")).await;
    assert_eq!(known.body, anonymous.body);
}

/// proves: R-7030-3.2.4-a
#[tokio::test]
async fn r_7030_4_5_2_b_base64_of_a_sequence_in_the_form_that_the_client_reads() {
    let server = TestServer::start_with(LABELS).await;
    let reply = server.get("/.well-known/est/strict/csrattrs").await;
    assert_eq!(reply.header("Content-Type"), Some("application/csrattrs"));
    assert_eq!(reply.header("Content-Transfer-Encoding"), Some("base64"));
    assert_eq!(reply.header("Content-Length"), Some(reply.body.len().to_string().as_str()));
    assert!(reply.text().lines().all(|line| line.len() <= 64));
    assert!(shown(&reply).lines().next().unwrap().contains("cons: SEQUENCE"));
    // strongSwan sends no identifying header and cannot read line breaks.
    let line =
        server.send("GET /.well-known/est/strict/csrattrs HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(line.text().lines().count(), 1, "{}", line.text());
    assert_eq!(der(&line), der(&reply));
}

/// proves: R-7030-4.5.2-d
#[tokio::test]
async fn r_7030_4_5_2_c_curve_and_hash_are_named_if_the_profile_insists() {
    let server = TestServer::start_with(LABELS).await;
    let list = shown(&server.get("/.well-known/est/list/csrattrs").await);
    let words: Vec<&str> =
        list.lines().map(|line| line.rsplit(':').next().unwrap().trim()).collect();
    let at = |word: &str| {
        words.iter().position(|one| *one == word).unwrap_or_else(|| panic!("{word}: {list}"))
    };
    // The algorithm with the curve in its SET; the hash as a bare OID; the extension in its request.
    assert_eq!(at("secp384r1"), at("id-ecPublicKey") + 2, "{list}");
    assert!(at("Extension Request") < at("X509v3 Subject Alternative Name"), "{list}");
    assert_eq!(words.last(), Some(&"ecdsa-with-SHA384"), "{list}");
    assert!(list.contains("1.3.6.1.1.1.1.22") && list.contains("UTF8STRING        :a"), "{list}");
    assert!(!list.contains("9.16.2.61"), "{list}");

    let template = shown(&server.get("/.well-known/est/template/csrattrs").await);
    assert!(template.contains("1.2.840.113549.1.9.16.2.61"), "{template}");
    assert!(template.contains("1.2.840.113549.1.9.16.2.62"), "{template}");
    assert!(!template.contains("Extension Request"), "{template}");
    let both = shown(&server.get("/.well-known/est/strict/csrattrs").await);
    assert!(both.contains("Extension Request") && both.contains("9.16.2.61"), "{both}");
}

/// proves: R-7894-4-a
#[tokio::test]
async fn r_7030_3_5_g_every_answer_asks_for_linking_where_it_is_required() {
    let mut labels = "[profile.strict]\nkeys = [\"p-256\"]\n[label.optional]\n".to_owned();
    for (number, form) in ["rfc8951", "rfc9908", "both"].iter().enumerate() {
        for (letter, profile) in [("d", "device"), ("s", "strict")] {
            let label = format!("label.{letter}{number}");
            labels.push_str(&format!(
                "[{label}]\nprofile = \"{profile}\"\nlinking = \"required\"\n[{label}.csrattrs]\nform = \"{form}\"\n"
            ));
        }
    }
    let server = TestServer::start_with(&labels).await;
    for label in ["d0", "d1", "d2", "s0", "s1", "s2"] {
        let text = shown(&server.get(&format!("/.well-known/est/{label}/csrattrs")).await);
        // As a bare OID of the outermost SEQUENCE, for every client.
        for oid in ["challengePassword", "1.2.840.113549.1.9.16.2.58"] {
            let outermost =
                |line: &str| line.contains(":d=1 ") && line.ends_with(&format!(":{oid}"));
            assert!(text.lines().any(outermost), "{label}, {oid}: {text}");
        }
        let template = text.contains("9.16.2.61");
        assert_eq!(template, !label.ends_with('0'), "{label}: {text}");
        // And in the template for clients that read nothing else (RFC 9908 section 4).
        assert_eq!(text.matches("challengePassword").count(), 1 + usize::from(template), "{text}");
    }
    assert_eq!(server.get("/.well-known/est/optional/csrattrs").await.status, 204);
}

/// A non-compliant CSR is rejected whether or not the client read the answer, also if none exists.
#[tokio::test]
async fn r_7030_4_5_2_e_enrolment_checks_what_csrattrs_asked() {
    let server = TestServer::start_with(LABELS).await;
    let before = server.issued().await.len();
    for label in ["strict", "off"] {
        let path = format!("{label}/simpleenroll");
        for (kind, arguments, rule) in [
            ("P-256", &["-addext", "subjectAltName=DNS:a.example"][..], "csr.key-kind"),
            (
                "P-384",
                &["-sha256", "-addext", "subjectAltName=DNS:a.example"],
                "csr.signature-digest",
            ),
            ("P-384", &["-sha384"], "csr.san-demanded"),
            ("P-384", &["-sha384", "-addext", "subjectAltName=IP:192.0.2.1"], "csr.san-demanded"),
        ] {
            let csr = csr_with(&new_key(kind), &[&["-subj", "/CN=a"], arguments].concat());
            let reply = server.send(post(&path, &csr, &basic("tester", PASSWORD))).await;
            assert_eq!(reply.status, 400, "{}", reply.text());
            assert!(reply.text().starts_with(rule), "{rule}: {}", reply.text());
        }
        assert_eq!(server.issued().await.len(), before);
    }
    let good = ["-subj", "/CN=a", "-sha384", "-addext", "subjectAltName=DNS:a.example"];
    let csr = csr_with(&new_key("P-384"), &good);
    let reply = server.send(post("strict/simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_reload_changes_the_answer_and_the_check_together() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=a"]);
    assert_eq!(server.get("/.well-known/est/csrattrs").await.status, 204);
    let settings =
        server.settings("[profile.device]\nrequire_subject = [\"O=Example\"]\n").unwrap();
    server.running.reload(settings).await.unwrap();
    assert!(shown(&server.get("/.well-known/est/csrattrs").await).contains("organizationName"));
    let rejected = server.enroll(&csr).await;
    assert_eq!(rejected.status, 400);
    assert!(
        rejected.text().contains("\"Example\", and no other of this type"),
        "{}",
        rejected.text()
    );
}

/// proves: R-7030-3.2-a
#[tokio::test]
async fn one_connection_carries_cacerts_csrattrs_and_the_enrolment() {
    let server = TestServer::start_with(LABELS).await;
    let mut connection = server.connect().await;
    for operation in ["cacerts", "csrattrs"] {
        let get = format!("GET /.well-known/est/strict/{operation} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(connection.send(get).await.status, 200);
    }
    let arguments = ["-subj", "/CN=a", "-sha384", "-addext", "subjectAltName=DNS:a.example"];
    let csr = csr_with(&new_key("P-384"), &arguments);
    let enroll = post("strict/simpleenroll", &csr, &basic("tester", PASSWORD));
    assert_eq!(connection.send(enroll).await.status, 200);
}
