//! How many certificates a device may have, and whose key one may have: decided in the step that records.

use crate::{
    common::*,
    devices::{enroll, identified_by, last, maker, register},
    explain,
    tokens::at_once,
};
use estd::types::Time;
use std::sync::Arc;

/// Status and code of a rejection. Its explanation is the same.
async fn code(server: &TestServer, reply: &Reply) -> (u16, String) {
    let code = reply.reason().split(':').next().unwrap().to_owned();
    let explanation = explain::explain(server, &explain::by_id(reply)).await;
    assert_eq!(explain::code(&explanation), code, "{explanation:?}");
    (reply.status, code)
}

#[tokio::test]
async fn a_device_has_no_more_certificates_than_its_quota_and_a_renewal_takes_a_place() {
    let (acme, config) = maker("quota = 2\naccept = [\"manufacturer:acme\", \"certificate\"]");
    let config = config.replace("accept = [\"manufacturer:acme\"]\n", "");
    let server = TestServer::start_with(&config).await;
    let [one, two] = ["a-1", "a-2"].map(|name| acme.identity(name));
    register(&server, "valve-1", |device| {
        identified_by("serial:acme:A-2")(device);
        device.quota = Some(1);
    })
    .await;
    let (csr, key) = new_csr(&["-subj", "/CN=1"]);
    let reply = server.connect_as(&one).await.send(post("factory/simpleenroll", &csr, "")).await;
    let first = Identity { pem: reply.certificate_pem(), key };
    assert_eq!(enroll(&server, &one, "/CN=2").await.status, 200);
    assert_eq!(enroll(&server, &two, "/CN=3").await.status, 200);
    let before = server.issued().await.len();
    for (shown, numbers) in [(&one, (2, 2)), (&two, (1, 1))] {
        let reply = enroll(&server, shown, "/CN=4").await;
        assert_eq!(code(&server, &reply).await, (403, "device.quota".to_owned()));
        let (valid, quota) = numbers;
        let part = format!(
            "got a request of a device with {valid} valid certificates; expected: fewer than {quota} before it"
        );
        assert!(reply.reason().contains(&part), "{}", reply.reason());
    }
    assert_eq!(server.issued().await.len(), before);
    server.clock.set(Time::from_unix(NOW + 60 * 86_400));
    // The second renewal of one certificate is one certificate more.
    for expected in [(200, ""), (403, "device.quota")] {
        let csr = new_csr(&["-subj", "/CN=1"]).0;
        let request = post("factory/simplereenroll", &csr, "");
        let reply = server.connect_as(&first).await.send(request).await;
        if expected.0 == 200 {
            assert_eq!(reply.status, 200, "{}", reply.reason());
        } else {
            assert_eq!(code(&server, &reply).await, (expected.0, expected.1.to_owned()));
        }
    }
    assert_eq!(server.issued().await.len(), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_requests_of_a_device_at_once_as_many_as_its_quota_get_a_certificate() {
    let server = TestServer::start_with(
        "[label.line]\naccept = [\"password\"]\ndevices = \"registered\"\nquota = 3\nown_keys = false\n",
    )
    .await;
    let key = new_key("EC");
    let csr = |number: u32| csr_with(&key, &["-subj", &format!("/CN=unit-{number}")]);
    let spki = estd::pki::Csr::verify(&csr(0)).unwrap().key().spki_sha256();
    let spki = spki.map(|byte| format!("{byte:02x}")).concat();
    register(&server, "pump-7", identified_by(&format!("spki:{spki}"))).await;
    let before = server.issued().await.len();
    let login = basic("tester", PASSWORD);
    let requests = (0..64).map(|number| post("line/simpleenroll", &csr(number), &login)).collect();
    let server = Arc::new(server);
    let replies = at_once(Arc::clone(&server), requests).await;
    let count = |wanted: u16| replies.iter().filter(|reply| reply.status == wanted).count();
    assert_eq!((count(200), count(403)), (3, 61));
    assert_eq!(server.issued().await.len(), before + 3);
}

#[tokio::test]
async fn a_key_that_another_device_has_is_rejected_where_the_label_says_so() {
    let (acme, config) = maker("own_keys = true");
    let server = TestServer::start_with(&config).await;
    let [one, two] = ["a-1", "a-2"].map(|name| acme.identity(name));
    let key = new_key("EC");
    let ask = async |shown: &Identity, subject: &str| {
        let csr = csr_with(&key, &["-subj", subject]);
        server.connect_as(shown).await.send(post("factory/simpleenroll", &csr, "")).await
    };
    assert_eq!(ask(&one, "/CN=1").await.status, 200);
    assert_eq!(ask(&one, "/CN=2").await.status, 200, "its own key");
    let (before, serial) =
        (server.issued().await.len(), last(&server).await.intent.device.unwrap());
    let reply = ask(&two, "/CN=3").await;
    assert_eq!(code(&server, &reply).await, (403, "device.own-key".to_owned()));
    assert!(reply.reason().contains(&format!("of device {serial}")), "{}", reply.reason());
    assert_eq!(server.issued().await.len(), before);
}
