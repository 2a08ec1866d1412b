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
        // A password would help to enroll, and not to renew (D-41).
        assert_eq!(reply.status, if operation == "simpleenroll" { 401 } else { 403 });
        assert!(reply.reason().starts_with("label.ca"), "{}", reply.reason());
        // First-user finding 25: the answer names the client's own label.
        assert!(reply.reason().contains("without a label"), "{}", reply.reason());
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

/// The subjects of the certificates in a bag, sorted.
fn subjects(reply: &Reply) -> Vec<String> {
    let mut all: Vec<String> = reply.certificates().iter().map(|pem| subject(pem)).collect();
    all.sort();
    all
}

fn subject(pem: &str) -> String {
    let arguments = ["x509", "-noout", "-subject", "-nameopt", "RFC2253"];
    let line = String::from_utf8(openssl_with(&arguments, pem.as_bytes())).unwrap();
    line.trim().strip_prefix("subject=").unwrap().to_owned()
}

/// Three CAs: a label without a CA of its own, labels of two others, and one that leaves the server's
/// root out.
const THREE: &str = "[label.b]\nca = \"b\"\n[label.c]\nca = \"c\"\n[label.bare]\nca = \"b\"\nserver_root = false\n[ca.default]\n[ca.b]\nroot_subject = \"CN=B root\"\nissuing_subject = \"CN=B issuing\"\n[ca.c]\nroot_subject = \"CN=C root\"\nissuing_subject = \"CN=C issuing\"\n";

/// proves: R-7030-4.1.3-h
#[tokio::test]
async fn the_bag_of_a_label_lets_its_client_verify_the_server_too() {
    let own = ["CN=estd issuing CA", "CN=estd root CA"];
    let b = ["CN=B issuing", "CN=B root"];
    let c = ["CN=C issuing", "CN=C root"];
    for (server_ca, root) in
        [("default", "CN=estd root CA"), ("b", "CN=B root"), ("c", "CN=C root")]
    {
        let more = format!("{THREE}[server.certificate]\nca = \"{server_ca}\"");
        let server = TestServer::start_with(&more).await;
        for (path, chain) in [("cacerts", own), ("b/cacerts", b), ("c/cacerts", c)] {
            let bag = server.get(&format!("/.well-known/est/{path}")).await;
            let mut expected = chain.to_vec();
            if !expected.contains(&root) {
                expected.push(root);
            }
            expected.sort_unstable();
            assert_eq!(subjects(&bag), expected, "{path} with a server certificate of {server_ca}");
            // The bag is all that openssl needs to verify the server (its chain holds the issuing CA).
            let file = server.write("bag.pem", bag.certificates().concat());
            let ca = &server.running.cas()[&server_ca.parse().unwrap()];
            let issuing = server.write("issuing.pem", ca.issuing().to_pem());
            let leaf = server.write("server.pem", server.running.certificate().await.to_pem());
            let at = NOW.to_string();
            openssl(&["verify", "-attime", &at, "-CAfile", &file, "-untrusted", &issuing, &leaf]);
        }
        let bare = server.get("/.well-known/est/bare/cacerts").await;
        assert_eq!(subjects(&bare), b, "server_root = false");
        // Enrollment answers still hold one certificate.
        let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
        let reply = server.send(post("b/simpleenroll", &csr, &basic("tester", PASSWORD))).await;
        assert_eq!(reply.certificates().len(), 1);
    }
}

/// One start creates CAs with equal lifetimes: the client picks the anchor of its label by notAfter.
#[tokio::test]
async fn r_7030_4_1_3_g_the_labels_own_root_ends_after_the_servers() {
    for server_ca in ["default", "b", "c"] {
        let more = format!("{THREE}[server.certificate]\nca = \"{server_ca}\"");
        let server = TestServer::start_with(&more).await;
        let cas = server.running.cas();
        let end = |name: &str| cas[&name.parse().unwrap()].root().not_after();
        for name in ["default", "b", "c"].into_iter().filter(|name| *name != server_ca) {
            assert!(end(name) > end(server_ca), "{name} beside {server_ca}");
        }
        let life = |name: &str| {
            let root = cas[&name.parse().unwrap()].root();
            root.not_after().since(root.not_before())
        };
        assert_eq!(life("b"), life("default"), "no lifetime is altered");
    }
}
