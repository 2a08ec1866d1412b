//! Bad input: status and text are as expected, nothing is stored, the server is alive.

use crate::{certificate::resigned, common::*};

struct Case {
    name: &'static str,
    request: Vec<u8>,
    status: u16,
    text: &'static str,
}

fn case(name: &'static str, request: impl Into<Vec<u8>>, status: u16, text: &'static str) -> Case {
    Case { name, request: request.into(), status, text }
}

/// A POST of this body with the password of `tester`.
fn body(body: &[u8]) -> Vec<u8> {
    post_body(
        "simpleenroll",
        body,
        &format!("Content-Type: application/pkcs10\r\n{}", basic("tester", PASSWORD)),
    )
}

/// A POST of this CSR with the password of `tester`.
fn csr(der: &[u8]) -> Vec<u8> {
    post("simpleenroll", der, &basic("tester", PASSWORD))
}

/// Arguments for openssl, beginning with `-subj /CN=d`.
fn asking(extension: &str) -> Vec<u8> {
    csr(&new_csr(&["-subj", "/CN=d", "-addext", extension]).0)
}

fn head(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// proves: R-7030-4.2.1-b, R-2986-4-a, R-2986-4.2-a, R-7030-4.2.1-f, R-9110-15.5.16-a, R-9110-15.5.14-a
#[tokio::test]
async fn r_7030_6_a_each_bad_input_has_its_answer_and_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let (good, key) = new_csr(&["-subj", "/CN=d"]);
    let (other, _) = new_csr(&["-subj", "/CN=e"]);

    let mut wrong_signature = good.clone();
    *wrong_signature.last_mut().unwrap() ^= 1;
    let mut other_content = good.clone();
    let at = other_content.windows(3).position(|part| part == [0x0c, 1, b'd']).unwrap();
    other_content[at + 2] = b'e';
    let mut version_1 = good.clone();
    let at = version_1.windows(3).position(|part| part == [2, 1, 0]).unwrap();
    version_1[at + 2] = 1;
    let mut not_minimal = vec![0x30, 0x83, 0];
    not_minimal.extend_from_slice(&good[2..]);
    let nested = |tag: u8| {
        // 10,000 times a value that holds the next one, with correct lengths.
        let mut der = vec![5, 0];
        for _ in 0..10_000 {
            let length = der.len().to_be_bytes();
            let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            let mut outer = vec![tag];
            if length.len() > 1 || length[0] > 127 {
                outer.push(0x80 + u8::try_from(length.len()).unwrap());
            }
            outer.extend_from_slice(&length);
            outer.extend_from_slice(&der);
            der = outer;
        }
        der
    };
    let trailing = [&good[..], &[0]].concat();
    let two = [&good[..], &other[..]].concat();
    let pem = |der: &[u8]| {
        format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}-----END CERTIFICATE REQUEST-----\n",
            wrapped(der)
        )
    };
    let content = "Content-Type: application/pkcs10\r\n";
    let credentials = basic("tester", PASSWORD);
    let ecdsa_with_rsa_key = {
        // The identifier of an RSA signature under an EC key.
        use der::{Decode, Encode};
        let request = x509_cert::request::CertReq::from_der(&good).unwrap();
        let algorithm = spki::AlgorithmIdentifierOwned {
            oid: "1.2.840.113549.1.1.11".parse().unwrap(),
            parameters: None,
        };
        x509_cert::request::CertReq { algorithm, ..request }.to_der().unwrap()
    };
    // Another y for the same x. `length` is the last byte of the length of the BIT STRING.
    let off_curve = |curve: &str, length: u8| {
        let mut request = csr_with(&new_key(curve), &["-subj", "/CN=d"]);
        let at = request.windows(3).position(|three| three == [length, 0, 4]).unwrap();
        request[at + usize::from(length)] ^= 1;
        csr(&request)
    };
    let duplicate_request = {
        use der::{Decode, Encode};
        let (with, key) = new_csr(&["-subj", "/CN=d", "-addext", "keyUsage=digitalSignature"]);
        let mut request = x509_cert::request::CertReq::from_der(&with).unwrap();
        let mut second = request.info.attributes.iter().next().unwrap().clone();
        // Two attributes of one type in a SET differ somewhere.
        let value = second.values.iter().next().unwrap().clone();
        let mut bytes = value.to_der().unwrap();
        *bytes.last_mut().unwrap() ^= 0x40;
        second.values = vec![der::Any::from_der(&bytes).unwrap()].try_into().unwrap();
        request.info.attributes.insert(second).unwrap();
        resigned(&request.to_der().unwrap(), &key)
    };

    let cases = [
        case("not base64", body(b"!!!! not base64 !!!!"), 400, "body.base64: "),
        case("other alphabet", body(b"AAA_"), 400, "body.base64: "),
        case("missing padding", body(b"AAA"), 400, "body.base64: "),
        case("raw DER", body(&good), 400, "body.base64: "),
        case("empty body", body(b""), 400, "body.empty: "),
        case("white space", body(b" \r\n\t "), 400, "body.empty: "),
        case("garbage", csr(b"\x01\x02garbage"), 400, "csr.form: "),
        case("truncated", csr(&good[..good.len() - 10]), 400, "csr.form: "),
        case("one byte", csr(&[0x30]), 400, "csr.form: "),
        case(
            "length beyond the end",
            csr(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]),
            400,
            "csr.form: ",
        ),
        case("indefinite length", csr(&[0x30, 0x80, 0, 0]), 400, "csr.form: "),
        case("length not minimal", csr(&not_minimal), 400, "csr.form: "),
        case("nested sequences", csr(&nested(0x30)), 400, "csr.form: "),
        case("nested sets", csr(&nested(0x31)), 400, "csr.form: "),
        case("nested attributes", csr(&nested(0xa0)), 400, "csr.form: "),
        case("trailing byte", csr(&trailing), 400, "csr.form: "),
        case("two CSRs", csr(&two), 400, "csr.form: "),
        case(
            "two PEM blocks",
            body(format!("{}{}", pem(&good), pem(&other)).as_bytes()),
            400,
            "body.pem: ",
        ),
        case(
            "PEM of something else",
            body(pem(&good).replace("REQUEST", "").as_bytes()),
            400,
            "body.pem: ",
        ),
        case("version 1", csr(&version_1), 400, "csr.version: "),
        case("wrong signature", csr(&wrong_signature), 400, "csr.proof-of-possession: "),
        case("other content", csr(&other_content), 400, "csr.proof-of-possession: "),
        case(
            "algorithm of another key",
            csr(&ecdsa_with_rsa_key),
            400,
            "csr.signature-algorithm: ",
        ),
        case("two extensionRequests", csr(&duplicate_request), 400, "csr.extensions: "),
        case(
            "RSA-1024",
            csr(&csr_with(&new_key("RSA:1024"), &["-subj", "/CN=d"])),
            400,
            "csr.key-size: ",
        ),
        case(
            "RSA-8192",
            csr(&csr_with(include_str!("../../testdata/keys/rsa-8192.pem"), &["-subj", "/CN=d"])),
            400,
            "csr.key-size: ",
        ),
        case(
            "RSA with exponent 3",
            csr(&csr_with(include_str!("../../testdata/keys/rsa-e3.pem"), &["-subj", "/CN=d"])),
            400,
            "csr.key-exponent: ",
        ),
        case(
            "P-224",
            csr(&csr_with(&new_key("P-224"), &["-subj", "/CN=d"])),
            400,
            "csr.key-curve: ",
        ),
        case(
            "secp256k1",
            csr(&csr_with(&new_key("secp256k1"), &["-subj", "/CN=d"])),
            400,
            "csr.key-curve: ",
        ),
        case("off P-256", off_curve("P-256", 0x42), 400, "csr.key-point: "),
        case("off P-384", off_curve("P-384", 0x62), 400, "csr.key-point: "),
        case("off P-521", off_curve("P-521", 0x86), 400, "csr.key-point: "),
        case("CA:TRUE", asking("basicConstraints=critical,CA:TRUE"), 403, "csr.ca: "),
        case("keyCertSign", asking("keyUsage=keyCertSign"), 403, "csr.key-usage: "),
        case(
            "cmcRA",
            asking("extendedKeyUsage=1.3.6.1.5.5.7.3.28"),
            403,
            "csr.extended-key-usage: ",
        ),
        case("no name", csr(&new_csr(&["-subj", "/"]).0), 400, "csr.no-name: "),
        case(
            "long name",
            csr(&new_csr(&[
                "-nameopt",
                "multiline",
                "-subj",
                &format!("/2.5.4.12={}", "x".repeat(65)),
            ])
            .0),
            400,
            "csr.subject-value: ",
        ),
        case("blank name", csr(&new_csr(&["-subj", "/CN= "]).0), 400, "csr.subject-value: "),
        case("bad DNS name", asking("subjectAltName=DNS:not_a_name"), 400, "csr.san-value: "),
        case("relative URI", asking("subjectAltName=URI:nothing"), 400, "csr.san-value: "),
        case(
            "directoryName",
            asking("subjectAltName=otherName:1.2.3.4;UTF8:x"),
            400,
            "csr.san-value: ",
        ),
        case("no credentials", post("simpleenroll", &good, ""), 401, ""),
        case("wrong password", post("simpleenroll", &good, &basic("tester", "wrong")), 401, ""),
        case("unknown user", post("simpleenroll", &good, &basic("nobody", PASSWORD)), 401, ""),
        case(
            "huge password",
            post("simpleenroll", &good, &basic("tester", &"x".repeat(5000))),
            401,
            "",
        ),
        case(
            "Basic without base64",
            post("simpleenroll", &good, "Authorization: Basic %%%\r\n"),
            400,
            "auth.basic-form: ",
        ),
        case(
            "two Authorization fields",
            post("simpleenroll", &good, &format!("{credentials}{credentials}")),
            400,
            "auth.basic-form: ",
        ),
        case("1 MiB", body(&vec![b'A'; 1 << 20]), 413, "http.body-size: "),
        case(
            "no content type",
            post_body("simpleenroll", base64(&good).as_bytes(), &credentials),
            415,
            "http.content-type: ",
        ),
        case(
            "wrong content type",
            post_body(
                "simpleenroll",
                base64(&good).as_bytes(),
                &format!("Content-Type: application/pkcs7-mime\r\n{credentials}"),
            ),
            415,
            "http.content-type: ",
        ),
        case(
            "two content types",
            post_body(
                "simpleenroll",
                base64(&good).as_bytes(),
                &format!("{content}{content}{credentials}"),
            ),
            415,
            "http.content-type: ",
        ),
        case(
            "gzip",
            post_body(
                "simpleenroll",
                base64(&good).as_bytes(),
                &format!("{content}Content-Encoding: gzip\r\n{credentials}"),
            ),
            415,
            "http.content-encoding: ",
        ),
        case(
            "both lengths",
            format!(
                "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: a\r\n{content}{credentials}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            400,
            "http.framing: ",
        ),
        case("wrong method", head("/.well-known/est/simpleenroll"), 405, "http.method: "),
        case("unknown label", post("nope/simpleenroll", &good, &credentials), 404, "http.path: "),
        case("unknown operation", post("simplenroll", &good, &credentials), 404, "http.path: "),
        case("path: dots", head("/.well-known/est/../est/cacerts"), 404, "http.path: "),
        case("path: encoded dots", head("/.well-known/est/%2e%2e/cacerts"), 404, "http.path: "),
        case("path: encoded slash", head("/.well-known/est/a%2fb/cacerts"), 404, "http.path: "),
        case("path: two labels", head("/.well-known/est/a/b/cacerts"), 404, "http.path: "),
        case("path: empty segment", head("/.well-known/est//cacerts"), 404, "http.path: "),
        case("path: trailing slash", head("/.well-known/est/cacerts/"), 404, "http.path: "),
        case("path: other case", head("/.well-known/est/CACERTS"), 404, "http.path: "),
        case("path: encoded twice", head("/.well-known/est/cacert%2573"), 404, "http.path: "),
    ];
    let before = server.issued().await.len();
    for case in cases {
        let reply = server.send(&case.request).await;
        assert_eq!(reply.status, case.status, "{}: {}", case.name, reply.text());
        let text = reply.text();
        if case.text.is_empty() {
            assert!(
                text.is_empty() && reply.header("WWW-Authenticate").is_some(),
                "{}: {reply:?}",
                case.name
            );
        } else {
            assert!(text.starts_with(case.text), "{}: {text}", case.name);
            assert!(
                text.is_ascii() && text.lines().count() == 1 && text.ends_with(")\n"),
                "{}: {text}",
                case.name
            );
        }
        let id = reply.header("X-Request-Id").unwrap().to_owned();
        assert!(server.has_event_of(&id), "{}", case.name);
        assert_eq!(server.issued().await.len(), before, "{}", case.name);
    }
    // The same key and content in correct form still get a certificate.
    assert_eq!(server.enroll(&csr_with(&key, &["-subj", "/CN=d"])).await.status, 200);
    assert_eq!(server.get("/.well-known/est/cacerts").await.status, 200);
}

#[tokio::test]
async fn bad_certificates_and_foreign_names_at_re_enrolment_leave_nothing_behind() {
    let server = TestServer::start().await;
    let (csr, key) = new_csr(&["-subj", "/CN=d", "-addext", "subjectAltName=DNS:a.example"]);
    let device = server.identity(&csr, key).await;
    let (_, foreign) = stranger(server.folder.path(), "/CN=d", "");
    let ask = |subject: &str, san: &str| {
        post("simplereenroll", &new_csr(&["-subj", subject, "-addext", san]).0, "")
    };
    let before = server.issued().await.len();
    for (name, identity, request, status, text) in [
        (
            "stranger",
            &foreign,
            ask("/CN=d", "subjectAltName=DNS:a.example"),
            403,
            "auth.certificate: ",
        ),
        (
            "foreign subject",
            &device,
            ask("/CN=e", "subjectAltName=DNS:a.example"),
            403,
            "reenroll.identity: ",
        ),
        (
            "one SAN too many",
            &device,
            ask("/CN=d", "subjectAltName=DNS:a.example,DNS:b.example"),
            403,
            "reenroll.identity: ",
        ),
    ] {
        let reply = server.connect_as(identity).await.send(request).await;
        assert_eq!(reply.status, status, "{name}");
        assert!(reply.text().starts_with(text), "{name}: {}", reply.text());
    }
    server.clock.advance(std::time::Duration::from_secs(91 * 86_400));
    let reply =
        server.connect_as(&device).await.send(ask("/CN=d", "subjectAltName=DNS:a.example")).await;
    assert_eq!(reply.status, 403, "expired");
    assert_eq!(server.issued().await.len(), before);
}

/// A client that sends only part of a request delays no other client, and is disconnected.
#[tokio::test]
async fn r_9110_15_5_14_a_slow_clients_are_let_go() {
    let server = TestServer::start_with("header_timeout = \"1s\"\nbody_timeout = \"1s\"").await;
    let mut header = server.connect().await;
    header.write("GET /.well-known/est/cacerts HTTP/1.1\r\nHost").await;
    let mut body = server.connect().await;
    let credentials = basic("tester", PASSWORD);
    body.write(format!("POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: a\r\nContent-Type: application/pkcs10\r\n{credentials}Content-Length: 100\r\n\r\nAAA")).await;
    assert_eq!(server.get("/.well-known/est/cacerts").await.status, 200);
    assert_eq!(body.read(false).await.status, 408);
    assert!(header.is_closed().await);
    let long = format!(
        "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert_eq!(server.send(long).await.status, 431);
}

/// Rejections of unauthenticated clients are recorded, too.
#[tokio::test]
async fn what_is_recorded_of_a_rejected_request_is_bounded() {
    let server = TestServer::start().await;
    let (method, path) = ("A".repeat(6000), "b".repeat(6000));
    let request = format!("{method} /.well-known/est/{path} HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(server.send(request).await.status, 404);
    let event = server.events_named("request.rejected").pop().unwrap();
    let bytes: usize = event.details.iter().map(|(_, value)| value.len()).sum();
    assert!(bytes < 500, "{bytes}: {event:?}");
}
