//! The registration authority without any transport: its requests leave the same events and get the
//! same rejections as those over HTTP.

use crate::common::*;
use estd::{
    ca::Profile,
    clock::Clock,
    entropy::SystemEntropy,
    ra::{Authenticated, Authenticator, Authority, Cause, Credentials, Door, Peer, Policy},
    telemetry::audit::Event,
    types::{Binding, Operation, RequestId, Unbound},
};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};
use zeroize::Zeroizing;

/// A protocol that has nothing to say about a request.
struct Silent;

impl Door for Silent {
    fn facts(&self, _: Cause<'_>) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// The authority of a server's store, accounts and CA.
struct Direct {
    server: TestServer,
    authority: Authority,
    policy: Policy,
    peer: Peer,
    requests: AtomicU8,
}

impl Direct {
    async fn start() -> Self {
        let server = TestServer::start().await;
        let settings = server.settings("").unwrap();
        let rules = settings.live.policies.unlabeled.clone();
        let profile = settings.live.policies.profiles[&rules.profile].clone();
        let profile = Profile::new(rules.profile.clone(), profile, &rules.csrattrs.attributes);
        let ca = Arc::clone(&server.running.cas()[&rules.ca]);
        let authenticator = Authenticator::new(
            Arc::clone(server.running.store()),
            Arc::new(SystemEntropy::new()),
            &settings.boot.passwords,
            server.clock.now(),
        );
        let clock = Arc::clone(&server.clock) as Arc<dyn Clock>;
        let authority =
            Authority::new(Arc::new(authenticator), Arc::clone(&server.events) as _, clock);
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            cipher_bits: 256,
            chain: None,
            binding: Binding::None(Unbound::NotWanted),
            spent: Arc::default(),
        };
        let policy = Policy { label: None, ca, rules, profile: Arc::new(profile) };
        Self { server, authority, policy, peer, requests: AtomicU8::new(0) }
    }

    /// The code of the rejection, or the certificate.
    async fn enroll(
        &self,
        operation: Operation,
        csr: &[u8],
        password: Option<&str>,
    ) -> Result<Vec<u8>, String> {
        let id = RequestId::new([self.requests.fetch_add(1, Ordering::SeqCst); 8]);
        let credentials = password.map(|password| Credentials::Basic {
            user: "tester".to_owned(),
            password: Zeroizing::new(password.to_owned()),
        });
        let mut call = self.authority.call(&self.peer, &id, &Silent, credentials.is_some());
        call.is_for(operation, &self.policy);
        let outcome = async {
            let client: Authenticated<'_> = call.authenticate(credentials.as_ref()).await?;
            client.enroll(csr, &[]).await
        };
        match outcome.await {
            Ok(issued) => Ok(issued.issuance.certificate.clone()),
            Err(rejected) => {
                let challenged = !rejected.challenges.is_empty();
                assert_eq!(challenged, password != Some(PASSWORD), "{rejected}");
                Err(rejected.error.code().to_string())
            }
        }
    }
}

/// An event: its name, its actor, whether an unauthenticated client caused it, its details.
type Reported = (String, String, bool, Vec<(String, String)>);

/// The events since `from`, without values that two requests never share and those of HTTP.
fn trail(server: &TestServer, from: usize) -> Vec<Reported> {
    let reported = |event: &Event| {
        let apart = ["serial", "device", "first_request", "address", "status", "method", "path"];
        let details = event.details.iter().filter(|(name, _)| !apart.contains(&name.as_str()));
        (
            event.name.as_str().to_owned(),
            event.actor.to_string(),
            event.stranger.is_some(),
            details.cloned().collect(),
        )
    };
    let events = server.events.0.lock().unwrap();
    events[from..].iter().map(|(_, event)| reported(event)).collect()
}

#[tokio::test]
async fn an_enrollment_without_http_leaves_the_same_events_and_rejections() {
    let (http, direct) = (TestServer::start().await, Direct::start().await);
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let good = Some(PASSWORD);
    let count = |server: &TestServer| server.events.0.lock().unwrap().len();
    let from = (count(&http), count(&direct.server));

    for (operation, csr, password, expected) in [
        (Operation::SimpleEnroll, &b"garbage"[..], None, Err("auth.none")),
        (Operation::SimpleEnroll, b"garbage", Some("wrong"), Err("auth.password")),
        (Operation::SimpleEnroll, b"garbage", good, Err("csr.form")),
        (Operation::SimpleReenroll, csr.as_slice(), good, Err("reenroll.certificate")),
        (Operation::SimpleEnroll, csr.as_slice(), good, Ok(())),
        (Operation::SimpleEnroll, csr.as_slice(), good, Ok(())),
    ] {
        let credentials = password.map_or_else(String::new, |password| basic("tester", password));
        let reply = http.send(post(operation.as_str(), csr, &credentials)).await;
        let directly = direct.enroll(operation, csr, password).await;
        match expected {
            Ok(()) => {
                assert_eq!((reply.status, directly.is_ok()), (200, true), "{directly:?}");
            }
            Err(code) => {
                let line = reply.header("X-Reason").map_or_else(|| reply.text(), str::to_owned);
                assert!(line.starts_with(&format!("{code}: ")), "{line}");
                assert_eq!(directly, Err(code.to_owned()));
            }
        }
    }

    let (over_http, without) = (trail(&http, from.0), trail(&direct.server, from.1));
    let names: Vec<_> = without.iter().map(|(name, ..)| name.as_str()).collect();
    let rejected = "enrollment.rejected";
    let all = [rejected, rejected, rejected, rejected, "certificate.issued", "enrollment.retried"];
    assert_eq!(names, all);
    assert_eq!(without, over_http);
    let of_http = http.events_named(rejected);
    assert!(of_http.iter().all(|event| event.detail("status").is_some()));
    assert_eq!(direct.server.issued().await.len(), http.issued().await.len());
}
