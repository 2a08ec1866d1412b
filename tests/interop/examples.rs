//! The examples of the crate's client, against a server.

use std::fs;

use estd::client::PasswordAccount;
use zeroize::Zeroizing;

use crate::process::Estd;

#[allow(dead_code, reason = "its main")]
#[path = "../../examples/cacerts.rs"]
mod cacerts;
#[allow(dead_code, reason = "its main")]
#[path = "../../examples/enroll.rs"]
mod enroll;
#[allow(dead_code, reason = "its main")]
#[path = "../../examples/reenroll.rs"]
mod reenroll;

#[tokio::test]
async fn a_device_fetches_anchors_enrolls_and_renews() {
    let estd = Estd::start();
    let server = format!("localhost:{}", estd.port);
    let (_, rest) = estd.welcome.split_once("its SHA-256").unwrap();
    let fingerprint = rest.split_whitespace().next().unwrap();
    let anchors = cacerts::cacerts(&server, fingerprint).await.unwrap();
    let root = fs::read_to_string(estd.anchor()).unwrap();
    assert!(anchors.contains(root.trim()), "{anchors}");

    let account = PasswordAccount {
        name: "enroll".to_owned(),
        password: Zeroizing::new(estd.password.clone()),
    };
    let subject = "CN=device-1";
    let (key, first) = enroll::enroll(&server, root.as_bytes(), account, subject).await.unwrap();
    let (new_key, second) =
        reenroll::reenroll(&server, root.as_bytes(), key.as_bytes(), first.as_bytes())
            .await
            .unwrap();
    assert!(*key != *new_key && first != second);
    let listed = estd.operator(&["cert", "list", "--json", "--subject", subject]);
    assert!(listed.lines().count() == 2 && listed.contains("simplereenroll"), "{listed}");
}
