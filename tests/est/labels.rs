//! Labels: each has its CA, its profile, its rules (M5).

use crate::common::*;

const TWO: &str = "[label.a]\n[label.b]\nca = \"b\"\nprofile = \"b\"\n[profile.b]\nvalidity = \"7d\"\nextended_key_usage = [\"serverAuth\", \"clientAuth\"]\n[ca.default]\n[ca.b]\nkey = \"p-384\"\nroot_subject = \"CN=B root\"\nissuing_subject = \"CN=B issuing\"\n";

#[tokio::test]
async fn r_7030_3_2_2_d_two_labels_two_cas_on_one_listener() {
    let server = TestServer::start_with(TWO).await;
    let (a, b) = (
        server.get("/.well-known/est/a/cacerts").await,
        server.get("/.well-known/est/b/cacerts").await,
    );
    assert_ne!(a.certificates(), b.certificates());
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let reply = server.send(post("b/simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    let text = described(&reply.certificate_pem());
    assert!(
        text.contains("Issuer: CN = B issuing") && text.contains("TLS Web Server Authentication"),
        "{text}"
    );
}

#[tokio::test]
async fn a_certificate_of_one_label_opens_no_label_of_another_ca() {
    let server = TestServer::start_with(TWO).await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for operation in ["simpleenroll", "simplereenroll"] {
        let mut connection = server.connect_as(&device).await;
        assert_eq!(connection.send(post(&format!("a/{operation}"), &csr, "")).await.status, 200);
        let reply = connection.send(post(&format!("b/{operation}"), &csr, "")).await;
        assert_eq!(reply.status, 403);
        assert!(reply.text().starts_with("label.ca"), "{}", reply.text());
    }
}

#[tokio::test]
async fn an_account_may_be_bound_to_labels() {
    let server = TestServer::start_with(TWO).await;
    server.add_account("line-1", "xyz", Some(vec!["b"])).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for (path, expected) in
        [("b/simpleenroll", 200), ("a/simpleenroll", 401), ("simpleenroll", 401)]
    {
        assert_eq!(
            server.send(post(path, &csr, &basic("line-1", "xyz"))).await.status,
            expected,
            "{path}"
        );
    }
}
