//! A failed login is counted, whatever the client does meanwhile.

use super::*;
use crate::{
    entropy::SystemEntropy,
    store::{Account, Accounts, MemoryStore, Password},
    telemetry::audit::{Event, Name, NoTrail},
    types::{Binding, Unbound},
};
use std::{net::SocketAddr, pin::pin, task::Poll};
use zeroize::Zeroizing;

const NOW: Time = Time::from_unix(1_795_262_400);

struct Bench {
    authenticator: Authenticator,
    rules: policy::LabelRules,
    peer: Peer,
}

impl Bench {
    /// An account "a" with the password "right", and 20 failures allowed.
    async fn new() -> Self {
        let hash = crate::ra::hash("right", &SystemEntropy::new()).unwrap();
        let store = Arc::new(MemoryStore::new(Arc::new(NoTrail)));
        let account = Account {
            name: "a".to_owned(),
            password: Password::Hash(hash),
            added: NOW,
            expires: None,
            labels: None,
        };
        let event = Event::new(NOW, Name::AccountAdded, Actor::server());
        store.add_account(account, event).await.unwrap();
        let text = "version = 1\n[passwords]\nfailures_per_account = 20\n";
        let file = std::path::Path::new("/nowhere/est.toml");
        let settings = crate::config::parse(text, file, &|_| None).unwrap();
        let entropy = Arc::new(SystemEntropy::new());
        Self {
            authenticator: Authenticator::new(store, entropy, &settings.boot.passwords, NOW),
            rules: settings.live.policies.unlabeled,
            peer: Peer {
                address: SocketAddr::from(([192, 0, 2, 1], 4711)),
                cipher_bits: 256,
                chain: None,
                binding: Binding::None(Unbound::NotWanted),
                spent: Arc::default(),
            },
        }
    }

    async fn try_password(&self, password: &str) -> Result<Identity, Error> {
        let password = Zeroizing::new(password.to_owned());
        let credentials = Credentials::Basic { user: "a".to_owned(), password };
        let mut facts = Facts::default();
        self.authenticator
            .authenticate(
                AuthnContext {
                    rules: &self.rules,
                    label: None,
                    peer: &self.peer,
                    operation: Operation::SimpleEnroll,
                    now: NOW,
                },
                Some(&credentials),
                &mut facts,
                &mut Vec::new(),
            )
            .await
    }

    /// A client that hangs up while its password is checked on a thread of its own.
    async fn hang_up(&self, password: &str) {
        let mut asked = pin!(self.try_password(password));
        std::future::poll_fn(|context| {
            let _ = asked.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
}

#[tokio::test]
async fn attack_5_a_client_that_hangs_up_has_failed() {
    let bench = Bench::new().await;
    for _ in 0..20 {
        bench.hang_up("wrong").await;
    }
    let outcome = bench.try_password("wrong").await;
    assert!(matches!(outcome, Err(Error::TooManyFailures(..))), "{outcome:?}");
    let outcome = bench.try_password("right").await;
    assert!(matches!(outcome, Err(Error::TooManyFailures(..))), "{outcome:?}");
}

#[tokio::test]
async fn attack_5_many_at_once_are_no_more_than_the_limit() {
    let bench = Bench::new().await;
    let outcomes = futures(30, || bench.try_password("wrong")).await;
    let counted = |kind: fn(&Error) -> bool| {
        outcomes.iter().filter(|outcome| outcome.as_ref().err().is_some_and(kind)).count()
    };
    assert_eq!(counted(|rejection| matches!(rejection, Error::Unauthenticated(_))), 20);
    assert_eq!(counted(|error| matches!(error, Error::TooManyFailures(..))), 10);
}

#[tokio::test]
async fn attack_5_right_passwords_at_once_do_not_shut_each_other_out() {
    let bench = Bench::new().await;
    let outcomes = futures(30, || bench.try_password("right")).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    // A client that hung up had the right password, and is counted only during its check.
    for _ in 0..20 {
        bench.hang_up("right").await;
        assert!(bench.try_password("right").await.is_ok());
    }
}

/// As many of them concurrently.
async fn futures<F: Future>(number: usize, make: impl Fn() -> F) -> Vec<F::Output> {
    let mut running: Vec<_> = (0..number).map(|_| Box::pin(make())).collect();
    let mut outcomes = Vec::new();
    std::future::poll_fn(|context| {
        running.retain_mut(|one| match one.as_mut().poll(context) {
            Poll::Ready(outcome) => {
                outcomes.push(outcome);
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outcomes
}
