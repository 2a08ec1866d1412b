//! ChangeSubjectName (RFC 6402 §2.8) in enrollment and re-enrollment: openssl creates and signs the
//! requests, and reads the certificates.

use crate::{certificate::resigned, common::*, enroll::with_ra};
use der::{Decode, Encode, asn1::SetOfVec};
use estd::{pki::Certificate, types::Serial};
use x509_cert::{attr::Attribute, request::CertReq};

/// CN=new-name with dns:new.example.com, in the two forms of the value (D-31).
const UNTAGGED: &[u8] = include_bytes!("../../testdata/rfc6402/changeSubjectName-attr.der");
const TAGGED: &[u8] = include_bytes!("../../testdata/rfc6402/changeSubjectName-attr-tagged.der");

const OLD_SAN: &str = "subjectAltName=DNS:old.example.com";

/// DER of the parts, by openssl's own generator.
fn asn1(configuration: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("asn1.cnf"), format!("asn1 = SEQUENCE:value\n{configuration}")).unwrap();
    openssl(&["asn1parse", "-genconf", &at("asn1.cnf"), "-noout", "-out", &at("out")]);
    std::fs::read(at("out")).unwrap()
}

/// The attribute with this value: `[value]` as openssl's asn1parse takes it.
fn change(value: &str) -> Vec<u8> {
    let value = asn1(&format!("[value]\n{value}"));
    let values = SetOfVec::try_from(vec![der::Any::from_der(&value).unwrap()]).unwrap();
    let oid = const_oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.36");
    Attribute { oid, values }.to_der().unwrap()
}

const SUBJECT_ONLY: &str = "a = SEQUENCE:name\n[name]\na = SET:rdn\n[rdn]\na = SEQUENCE:cn\n[cn]\na = OID:2.5.4.3\nb = UTF8:new-name\n";
const SAN_ONLY: &str = "a = SEQUENCE:san\n[san]\na = IMP:2C,IA5:new.example.com\n";

/// A CSR with this attribute beside what it has, signed by openssl.
fn with(csr: &[u8], key: &str, attribute: &[u8]) -> Vec<u8> {
    let mut request = CertReq::from_der(csr).unwrap();
    request.info.attributes.insert(Attribute::from_der(attribute).unwrap()).unwrap();
    let csr = resigned(&request.to_der().unwrap(), key);
    openssl_with(&["req", "-inform", "DER", "-verify", "-noout"], &csr);
    csr
}

/// A new key's CSR for these names with this attribute.
fn asking(arguments: &[&str], attribute: &[u8]) -> Vec<u8> {
    let (csr, key) = new_csr(arguments);
    with(&csr, &key, attribute)
}

const OLD: &[&str] = &["-subj", "/CN=old-name", "-addext", OLD_SAN];

async fn old_device(server: &TestServer) -> Identity {
    let (csr, key) = new_csr(OLD);
    server.identity(&csr, key).await
}

fn serial(pem: &str) -> Serial {
    let device = Identity { pem: pem.to_owned(), key: String::new() };
    Certificate::parse(&device.der()).unwrap().serial().clone()
}

/// Subject and subjectAltName, as openssl prints them.
fn names(pem: &str) -> (String, String) {
    let text = |arguments: &[&str]| {
        let all = [&["x509", "-noout", "-nameopt", "RFC2253"], arguments].concat();
        String::from_utf8(openssl_with(&all, pem.as_bytes())).unwrap()
    };
    let subject = text(&["-subject"]).trim().trim_start_matches("subject=").to_owned();
    let san = text(&["-ext", "subjectAltName"]);
    (subject, san.lines().skip(1).map(str::trim).collect())
}

/// proves: R-7030-4.2.2-d
#[tokio::test]
async fn r_6402_2_8_a_what_is_in_the_attribute_replaces_and_what_is_not_is_removed() {
    let server = TestServer::start_with("[est]\nchange_names = true\nnames.mode = \"any\"\n").await;
    let device = old_device(&server).await;
    let (subject_only, san_only) = (change(SUBJECT_ONLY), change(SAN_ONLY));
    for (attribute, subject, san) in [
        (UNTAGGED, "CN=new-name", "DNS:new.example.com"),
        (TAGGED, "CN=new-name", "DNS:new.example.com"),
        (&subject_only, "CN=new-name", ""),
        (&san_only, "", "DNS:new.example.com"),
    ] {
        let csr = asking(OLD, attribute);
        let reply = server.connect_as(&device).await.send(post("simplereenroll", &csr, "")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let pem = reply.certificate_pem();
        assert_eq!(names(&pem), (subject.to_owned(), san.to_owned()));
        let critical = described(&pem).contains("Alternative Name: critical");
        assert_eq!(critical, subject.is_empty(), "RFC 5280 section 4.2.1.6");
        let record = server.running.store().find(&serial(&pem)).await.unwrap().unwrap();
        assert_eq!(record.intent.subject, subject);
        assert_eq!(record.intent.predecessor, Some(serial(&device.pem)));
    }
    let events = server.events_named("certificate.issued");
    let last = &events.last().unwrap().details;
    let has = |name: &str, value: &str| last.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("former_names", "CN=old-name with dns:old.example.com"), "{last:?}");
    assert!(has("renewal", "rekey"), "{last:?}");

    // The CSR holds the names of the certificate; only the attribute has the new ones.
    for arguments in [
        &["-subj", "/CN=new-name", "-addext", "subjectAltName=DNS:new.example.com"][..],
        &["-subj", "/CN=old-name"],
        &["-subj", "/CN=old-name", "-addext", "subjectAltName=DNS:new.example.com"],
    ] {
        for operation in ["simplereenroll", "simpleenroll"] {
            let csr = asking(arguments, UNTAGGED);
            let reply = server.connect_as(&device).await.send(post(operation, &csr, "")).await;
            assert_eq!(reply.status, 403, "{arguments:?}: {}", reply.text());
            assert!(reply.text().starts_with("reenroll.identity"), "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn r_6402_2_8_b_an_attribute_without_a_name_or_with_more_than_one_value_is_rejected() {
    let server = TestServer::start_with("[est]\nchange_names = true\nnames.mode = \"any\"\n").await;
    let device = old_device(&server).await;
    let issued = server.issued().await.len();
    let (csr, key) = new_csr(OLD);
    let twice = {
        let oid = const_oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.36");
        let value = |text: &str| der::Any::from_der(&asn1(&format!("[value]\n{text}"))).unwrap();
        let values = SetOfVec::try_from(vec![value(SUBJECT_ONLY), value(SAN_ONLY)]).unwrap();
        Attribute { oid, values }.to_der().unwrap()
    };
    let two = with(&with(&csr, &key, UNTAGGED), &key, &change(SAN_ONLY));
    let empty_name = change("a = SEQUENCE:name\n[name]\n");
    for (csr, code) in [
        (with(&csr, &key, &change("")), "csr.change-subject-name"),
        (with(&csr, &key, &empty_name), "csr.change-subject-name"),
        (with(&csr, &key, &change("a = INTEGER:1\n")), "csr.change-subject-name"),
        (with(&csr, &key, &twice), "csr.change-subject-name"),
        (two, "csr.attributes"),
        // The profile's rules are those of the new names.
        (
            with(&csr, &key, &change(&SUBJECT_ONLY.replace("UTF8:new-name", "UTF8: "))),
            "csr.subject-value",
        ),
        (
            with(&csr, &key, &change(&SAN_ONLY.replace("new.example", "new_example"))),
            "csr.san-value",
        ),
    ] {
        let reply = server.connect_as(&device).await.send(post("simplereenroll", &csr, "")).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(reply.text().starts_with(code), "{code}: {}", reply.text());
    }
    assert_eq!(server.issued().await.len(), issued);
}

#[tokio::test]
async fn r_7030_4_2_2_f_new_names_need_the_same_rights_as_any_names() {
    let labels = "[label.own]\nchange_names = true\n\
                  renewal.accept = [\"certificate\", [\"certificate\", \"password\"]]\n\
                  [label.any]\nchange_names = true\nnames.mode = \"any\"\n\
                  [label.both]\nchange_names = true\naccept = [[\"certificate\", \"password\"]]\nrenewal.accept = [[\"certificate\", \"password\"]]\n\
                  [label.off]\nnames.mode = \"any\"\n\
                  [label.narrow]\nchange_names = true\nnames.mode = \"any\"\nprofile = \"narrow\"\n\
                  [profile.narrow]\nsan = []\n";
    let server = TestServer::start_with(labels).await;
    let device = old_device(&server).await;
    let password = basic("tester", PASSWORD);
    let csr = asking(OLD, UNTAGGED);
    // A subset of its own names is still its own.
    let fewer = asking(OLD, &change(&SUBJECT_ONLY.replace("new-name", "old-name")));
    for (label, csr, credentials, status, code) in [
        ("own/", &csr, "", 401, "enroll.names"),
        ("own/", &fewer, "", 200, ""),
        ("own/", &csr, password.as_str(), 200, ""),
        ("any/", &csr, "", 200, ""),
        ("both/", &csr, password.as_str(), 200, ""),
        // The default: a label changes no names unless so configured.
        ("", &csr, "", 403, "names.change"),
        ("off/", &csr, password.as_str(), 403, "names.change"),
        ("narrow/", &csr, "", 400, "csr.san-value"),
    ] {
        for operation in ["simplereenroll", "simpleenroll"] {
            let request = post(&format!("{label}{operation}"), csr, credentials);
            let reply = server.connect_as(&device).await.send(request).await;
            assert_eq!(reply.status, status, "{label}{operation}: {}", reply.text());
            assert!(reply.reason().starts_with(code) || status == 200, "{}", reply.reason());
        }
    }
    // A password alone proves no old names to change: the CSR can hold the new ones.
    let reply = server.send(post("any/simpleenroll", &csr, &password)).await;
    assert_eq!(reply.status, 403);
    assert!(reply.text().starts_with("names.change"), "{}", reply.text());
}

#[tokio::test]
async fn r_7030_4_2_1_d_a_third_party_s_certificate_is_exchanged_for_one_with_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, maker) = stranger(folder.path(), "/serialNumber=4711", "");
    let server = TestServer::start_with(&format!(
        "{}\
         [label.both]\nchange_names = true\naccept = [[\"manufacturer:maker\", \"password\"]]\n\
         [label.any]\naccept = [\"manufacturer:maker\"]\nchange_names = true\nnames.mode = \"any\"\n\
         [label.own]\naccept = [\"manufacturer:maker\", \"password\"]\nchange_names = true\n",
        accepting(&ca)
    ))
    .await;
    let csr = asking(&["-subj", "/serialNumber=4711"], UNTAGGED);
    let send = async |label: &str, csr: &[u8], credentials: &str| {
        let request = post(&format!("{label}/simpleenroll"), csr, credentials);
        server.connect_as(&maker).await.send(request).await
    };
    for (label, credentials) in [("both", basic("tester", PASSWORD)), ("any", String::new())] {
        let reply = send(label, &csr, &credentials).await;
        assert_eq!(reply.status, 200, "{label}: {}", reply.text());
        let pem = reply.certificate_pem();
        assert_eq!(names(&pem), ("CN=new-name".to_owned(), "DNS:new.example.com".to_owned()));
        let record = server.running.store().find(&serial(&pem)).await.unwrap().unwrap();
        assert_eq!(record.intent.predecessor, None, "no certificate of this server is renewed");
    }
    // Another device's name, by its certificate alone; and a CSR whose names are not those shown.
    let reply = send("own", &csr, "").await;
    assert_eq!(reply.status, 401);
    assert!(reply.reason().starts_with("enroll.names"), "{}", reply.reason());
    let other = asking(&["-subj", "/serialNumber=4712"], UNTAGGED);
    let reply = send("any", &other, "").await;
    assert_eq!(reply.status, 403);
    assert!(reply.text().starts_with("reenroll.identity"), "{}", reply.text());
    // It is not a certificate of this server, so it cannot be re-enrolled.
    let request = post("any/simplereenroll", &csr, "");
    let reply = server.connect_as(&maker).await.send(request).await;
    assert!(reply.text().starts_with("reenroll.certificate"), "{}", reply.text());
}

/// proves: R-5272/6402-8-a
#[tokio::test]
async fn this_server_s_ra_forwards_a_device_s_change_of_names_and_an_impostor_does_not() {
    let (server, ra, impostor) = with_ra(
        "[label.change]\nchange_names = true\naccept = [\"certificate\", \"password\", \"ra\", \"manufacturer:maker\"]\n",
    )
    .await;
    let csr = asking(OLD, UNTAGGED);
    for (who, status) in [(&ra, 200), (&impostor, 401)] {
        let request = post("change/simpleenroll", &csr, "");
        let reply = server.connect_as(who).await.send(request).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        if status == 200 {
            assert_eq!(names(&reply.certificate_pem()).0, "CN=new-name");
        } else {
            assert!(reply.reason().starts_with("enroll.names"), "{}", reply.reason());
        }
    }
}

#[tokio::test]
async fn a_request_for_other_names_is_no_retry_of_one_for_the_old() {
    let server = TestServer::start_with("[est]\nchange_names = true\nnames.mode = \"any\"\n").await;
    let device = old_device(&server).await;
    let (csr, key) = new_csr(OLD);
    let (both, one) = (with(&csr, &key, UNTAGGED), with(&csr, &key, &change(SUBJECT_ONLY)));
    let mut connection = server.connect_as(&device).await;
    let mut seen = Vec::new();
    for csr in [&csr, &both, &one] {
        let first = connection.send(post("simplereenroll", csr, "")).await.certificate_pem();
        assert_eq!(connection.send(post("simplereenroll", csr, "")).await.certificate_pem(), first);
        assert!(!seen.contains(&first));
        seen.push(first);
    }
    // Signed again, as for a retry, it is the same request.
    let again = connection.send(post("simplereenroll", &resigned(&both, &key), "")).await;
    assert_eq!(again.certificate_pem(), seen[1]);
}
