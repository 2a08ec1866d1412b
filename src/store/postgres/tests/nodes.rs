//! Two nodes over one database: devices, tokens and conditions.

use super::{
    super::super::{
        Conditions, Device, DeviceFilter, DeviceStanding, Filter,
        contract::registry::{device, fleet, token},
    },
    *,
};
use crate::telemetry::audit::Event;
use tokio::task::JoinSet;

/// Opens two nodes.
async fn nodes(backend: &Postgres) -> [Arc<dyn Store>; 2] {
    [
        backend.open(Arc::new(Recorder::default())).await,
        backend.open(Arc::new(Recorder::default())).await,
    ]
}

async fn close(nodes: [Arc<dyn Store>; 2]) {
    for node in nodes {
        node.close().await;
    }
}

/// Begins all at once, each at another node than the one before.
async fn at_once(nodes: &[Arc<dyn Store>; 2], all: Vec<(Intent, Conditions)>) -> Vec<Begun> {
    let mut tasks = JoinSet::new();
    for (number, (intent, conditions)) in all.into_iter().enumerate() {
        let node = Arc::clone(&nodes[number % 2]);
        tasks.spawn(async move { node.begin(intent, conditions).await.unwrap() });
    }
    tasks.join_all().await
}

fn new_ones(all: &[Begun]) -> usize {
    all.iter().filter(|begun| **begun == Begun::New).count()
}

fn change(number: u64) -> Event {
    event(Name::TokenDisabled, number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_requests_at_two_nodes_no_two_pass() {
    let backend = Postgres::new();
    let nodes = nodes(&backend).await;
    nodes[0].add_tokens(vec![token(1), token(2)], change(1)).await.unwrap();
    let with = |token_number: u8, number: u64, request: u64| Intent {
        token: Some(token(token_number).id),
        ..intent(number, request)
    };
    let free = Conditions::default;
    let different = (1..=64).map(|number| (with(1, number, number), free())).collect();
    assert_eq!(new_ones(&at_once(&nodes, different).await), 1);
    let equal = (101..=164).map(|number| (with(2, number, 100), free())).collect();
    let begun = at_once(&nodes, equal).await;
    assert_eq!(new_ones(&begun), 1);
    assert!(begun.iter().all(|one| matches!(one, Begun::New | Begun::Open(_))), "{begun:?}");

    let of = |name: &str, number: u64| Intent {
        device: Some(name.parse().unwrap()),
        ..intent(number, number)
    };
    let quota = || Conditions { quota: Some(3), ..free() };
    let quotas = (201..=264).map(|number| (of("a", number), quota())).collect();
    assert_eq!(new_ones(&at_once(&nodes, quotas).await), 3);
    let own_key = || Conditions { own_key: true, ..free() };
    let keys = (301..=364).map(|number| {
        (Intent { spki_sha256: [9; 32], ..of(&format!("k-{number}"), number) }, own_key())
    });
    assert_eq!(new_ones(&at_once(&nodes, keys.collect()).await), 1);
    // Just in time: all are new, and one of them registers the device.
    let register = || Conditions { register: Some(device("j")), registered: true, ..free() };
    let registering = (401..=464).map(|number| (of("j", number), register())).collect();
    assert_eq!(new_ones(&at_once(&nodes, registering).await), 64);
    assert_eq!(nodes[1].device(&device("j").id).await.unwrap(), Some(device("j")));
    close(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_at_one_node_counts_at_once_at_the_other() {
    let backend = Postgres::new();
    let nodes = nodes(&backend).await;
    for round in 0..10_u64 {
        let name = format!("gate-{round}");
        nodes[0].add_device(device(&name), change(1)).await.unwrap();
        let of = move |number: u64| Intent {
            device: Some(format!("gate-{round}").parse().unwrap()),
            ..intent(round * 1000 + number, round * 1000 + number)
        };
        let blocking = {
            let (first, second) = (Arc::clone(&nodes[0]), Arc::clone(&nodes[1]));
            tokio::spawn(async move {
                let seen = device(&name);
                let new = Device { standing: DeviceStanding::Blocked, ..seen.clone() };
                first.change_device(&seen, new, change(2)).await.unwrap();
                assert!(second.is_barred(&seen.id).await.unwrap());
                let recorded = second.list(&Filter::default(), None, 9999).await.unwrap().len();
                for number in 500..505 {
                    let begun = second.begin(of(number), Conditions::default()).await.unwrap();
                    assert!(matches!(begun, Begun::Unmet(_)), "{begun:?}");
                }
                recorded
            })
        };
        let all = (1..=32).map(|number| (of(number), Conditions::default())).collect();
        at_once(&nodes, all).await;
        let recorded = blocking.await.unwrap();
        let now = nodes[0].list(&Filter::default(), None, 9999).await.unwrap().len();
        assert_eq!(now, recorded, "nothing was recorded after the block");
    }
    close(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_at_one_node_is_seen_at_the_other_once_it_is_finished() {
    let backend = Postgres::new();
    let nodes = nodes(&backend).await;
    let all = DeviceFilter::default();
    let import = nodes[0].begin_import().await.unwrap();
    nodes[0].stage_devices(import, fleet(0..1200)).await.unwrap();
    assert_eq!(nodes[1].devices(&all, None, 9999).await.unwrap(), []);
    nodes[1].finish_import(import, change(1)).await.unwrap();
    assert_eq!(nodes[1].devices(&all, None, 9999).await.unwrap(), fleet(0..1200));
    // Two at once: the later one ends the earlier.
    let earlier = nodes[0].begin_import().await.unwrap();
    nodes[0].stage_devices(earlier, fleet(2000..2100)).await.unwrap();
    let later = nodes[1].begin_import().await.unwrap();
    let ended = nodes[0].stage_devices(earlier, fleet(2100..2101)).await;
    assert!(matches!(ended, Err(Error::ImportEnded(number)) if number == earlier), "{ended:?}");
    nodes[1].stage_devices(later, fleet(1200..1300)).await.unwrap();
    nodes[1].finish_import(later, change(2)).await.unwrap();
    assert_eq!(nodes[0].devices(&all, None, 9999).await.unwrap(), fleet(0..1300));
    close(nodes).await;
}
