//! Tests of PostgreSQL alone: two nodes at the same row, values that it cannot hold.

use super::{
    super::{
        Begun, Conditions, Error, Intent, Issuance, Item, State, Store,
        contract::{
            Backend, Postgres, Recorder, account, at, event, intent, issue, key, revocation,
            revoked, serial, server,
        },
        transfer::{Items, Walk},
    },
    PostgresOptions, PostgresSnapshot, PostgresStore,
    database::{Database, attempt},
    issuances, reads,
};
use crate::{telemetry::audit::Name, types::Serial};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

mod nodes;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_another_node_renews_is_not_purged() {
    let backend = Postgres::new();
    let store = backend.open(Arc::new(Recorder::default())).await;
    issue(&*store, 1).await;
    issue(&*store, 2).await;
    let database = Arc::new(Database::open(backend.options()).await.unwrap());

    // Another node takes the slot of request 1, which is over, and has not committed yet.
    let node = database.lease().await.unwrap();
    let client = node.client().unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    let renewed = "UPDATE request SET begun = $2, repeat_until = $3 WHERE request_key = $1";
    let now = i64::try_from(at(100).unix()).unwrap();
    client.execute(renewed, &[&key(1).0.as_slice(), &now, &(now + 60)]).await.unwrap();

    let (other, deadline) = (Arc::clone(&database), Instant::now() + Duration::from_secs(10));
    let purge =
        tokio::spawn(
            async move { attempt!(*other, client => issuances::purge(client, at(90)).await) },
        );
    // Until it is done, or waits for the other node.
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while !purge.is_finished() && Instant::now() < deadline {
        let waiting: i64 = client.query_one(waits, &[]).await.unwrap().get(0);
        if waiting > 0 {
            break;
        }
    }
    client.batch_execute("COMMIT").await.unwrap();
    purge.await.unwrap().unwrap();

    let left = client.query("SELECT request_key FROM request", &[]).await.unwrap();
    let left: Vec<Vec<u8>> = left.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, [key(1).0.to_vec()], "the renewed slot, and not the one that is over");
    let mut retry = intent(3, 1);
    retry.begun = at(110);
    assert!(matches!(store.begin(retry, Conditions::default()).await.unwrap(), Begun::Complete(_)));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_the_database_cannot_hold_does_not_look_like_a_database_that_is_away() {
    let backend = Postgres::new();
    let store = backend.open(Arc::new(Recorder::default())).await;
    assert_eq!(store.account("a\0b").await.unwrap(), None);

    let database = Database::open(backend.options()).await.unwrap();
    let mut attempts = 0;
    let asked: Result<_, Error> = attempt!(database, client => {
        attempts += 1;
        reads::find_account(client, "a\0b").await
    });
    assert!(matches!(&asked, Err(Error::Unavailable(why)) if why.contains("0x00")), "{asked:?}");
    assert_eq!(attempts, 1, "a second attempt would fail in the same way");
    assert!(!database.is_down());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_accepts_connections_and_stays_silent_does_not_hide_the_others() {
    let server = server::Postgres::start_tcp(&[]);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut connection = tokio_postgres::Config::new();
    connection.user("estd").dbname("postgres").ssl_mode(tokio_postgres::config::SslMode::Disable);
    for port in [silent.local_addr().unwrap().port(), server.port] {
        connection.host("127.0.0.1").port(port);
    }
    let patience = Duration::from_secs(2);
    let options = PostgresOptions { connection, anchors: Vec::new(), connections: 4, patience };
    // The order in which hosts are tried is random.
    let opened = async { while Database::open(options.clone()).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(60), opened).await.unwrap();
}

#[tokio::test]
async fn an_error_of_the_database_is_reported_and_not_only_the_timeout() {
    let backend = Postgres::new();
    let mut options = backend.options();
    options.connection.dbname("no such database");
    // As long as a few attempts, so that the last one is cut.
    for patience in [Duration::from_millis(250), Duration::from_millis(320)] {
        options.patience = patience;
        let Err(Error::Unavailable(why)) = Database::open(options.clone()).await else { panic!() };
        assert!(why.contains("does not exist"), "{why}");
        assert!(!why.contains("db error: db error"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_have_grown_are_not_read_from_end_to_end() {
    let backend = Postgres::new();
    let store = backend.open(Arc::new(Recorder::default())).await;
    // No statistics are gathered meanwhile, as on a busy database.
    for table in ["issuance", "request", "event"] {
        backend.sql(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)"));
    }
    for group in 0..50 {
        let mut tasks = tokio::task::JoinSet::new();
        for number in group * 60..(group + 1) * 60 {
            let store = Arc::clone(&store);
            tasks.spawn(async move { issue(&*store, number).await });
        }
        tasks.join_all().await;
        let retry = store
            .begin(intent(1_000_000 + group, group * 60), Conditions::default())
            .await
            .unwrap();
        assert!(matches!(retry, Begun::Complete(_)));
    }
    // The database counts the reads of a connection when it ends.
    store.close().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while backend.sql("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'issuance'")
        != "3000"
    {
        assert!(Instant::now() < deadline, "the statistics are written");
    }
    let read = backend.sql("SELECT sum(seq_tup_read) FROM pg_stat_user_tables");
    assert!(read.parse::<u64>().unwrap() < 10_000, "{read} rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_layout_1_are_brought_up_to_date_and_keep_what_they_hold() {
    let backend = Postgres::new();
    let store = backend.open(Arc::new(Recorder::default())).await;
    let record = issue(&*store, 1).await;
    store.close().await;
    // As layout 1 left them.
    backend.sql(
        "DROP INDEX issuance_revoked, issuance_not_after;
         ALTER TABLE issuance DROP COLUMN revoked, DROP COLUMN reason, DROP COLUMN device,
                              DROP COLUMN spki, DROP COLUMN predecessor;
         DROP TABLE device, identifier, staging, token;
         DELETE FROM migration WHERE number > 1",
    );
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'issuance'";
    assert_eq!(backend.sql(columns), "11");
    let store = backend.open(Arc::new(Recorder::default())).await;
    assert_eq!(store.find(&serial(1)).await.unwrap(), Some(record));
    let record = store.revoke(&serial(1), revocation(1), revoked(1)).await.unwrap();
    assert_eq!(record.revocation, Some(revocation(1)));
    store.close().await;
    let row = backend.sql("SELECT state, revoked, reason FROM issuance");
    assert_eq!(row, format!("4|{}|1", at(21).unix()), "for operators who query with SQL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_only_read_and_write_rights_suffices_once_the_tables_exist() {
    let backend = Postgres::new();
    backend.open(Arc::new(Recorder::default())).await.close().await;
    let database = Database::open(backend.options()).await.unwrap();
    let owner = database.lease().await.unwrap();
    let grant = "CREATE ROLE writes_only LOGIN;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writes_only";
    owner.client().unwrap().batch_execute(grant).await.unwrap();
    let mut options = backend.options();
    options.connection.user("writes_only");
    let store = PostgresStore::open(options, Arc::new(Recorder::default())).await.unwrap();
    issue(&store, 1).await;
    store.close().await;
}

/// A snapshot holds everything acknowledged before it was taken, and no partial changes, whatever
/// other nodes write while it is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_the_database_at_one_time_while_several_nodes_write() {
    let backend = Postgres::new();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(backend.open(Arc::new(Recorder::default())).await);
    }
    for number in 0..1100 {
        issue_as(&*nodes[0], number, None).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for (writer, node) in (1..).zip(nodes.clone()) {
        let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        tasks.spawn(async move {
            for number in 10_000 * writer.. {
                if stop.load(Ordering::SeqCst) {
                    return number;
                }
                let first = issue_as(&*node, number, None).await;
                // Renewed, and the old certificate revoked: before the page that is read and behind.
                issue_as(&*node, 50_000 + number, Some(first.intent.serial.clone())).await;
                let revoked = revoked(number).with("serial", serial(number));
                node.revoke(&serial(number), revocation(number), revoked).await.unwrap();
                let name = format!("account-{number}");
                let added = event(Name::AccountAdded, number).with("account", &name);
                node.add_account(account(&name), added).await.unwrap();
                acknowledged.lock().unwrap().push(number);
            }
            unreachable!()
        });
    }
    while acknowledged.lock().unwrap().len() < 30 {
        tokio::task::yield_now().await;
    }
    let before = acknowledged.lock().unwrap().clone();
    let snapshot = PostgresSnapshot::open(backend.options()).await.unwrap();
    let taken = acknowledged.lock().unwrap().len();
    let first = items_of(&snapshot).await;
    while acknowledged.lock().unwrap().len() < taken + 30 {
        tokio::task::yield_now().await;
    }
    assert!(items_of(&snapshot).await == first, "read twice, with writes between");
    stop.store(true, Ordering::SeqCst);
    tasks.join_all().await;

    let (mut issuances, mut accounts) = (HashMap::new(), HashSet::new());
    let (mut issued, mut revoked, mut added, mut last) =
        (HashSet::new(), HashSet::new(), HashSet::new(), HashMap::new());
    for item in first {
        match item {
            Item::Issuance(one) => drop(issuances.insert(one.intent.serial.to_string(), one)),
            Item::Account(one) => drop(accounts.insert(one.name)),
            Item::Register(..) | Item::Device(_) | Item::Token(_) => {}
            Item::Event(id, event) => {
                let previous = last.insert(id.writer, id.number).unwrap_or_default();
                assert_eq!(
                    id.number,
                    previous + 1,
                    "no gaps in the events of writer {}",
                    id.writer
                );
                let detail = |name| event.detail(name).unwrap_or_default().to_owned();
                match event.name {
                    Name::CertificateIssued => drop(issued.insert(detail("serial"))),
                    Name::CertificateRevoked => drop(revoked.insert(detail("serial"))),
                    Name::AccountAdded => drop(added.insert(detail("account"))),
                    _ => {}
                }
            }
        }
    }
    assert_eq!(accounts, added, "each account with its event");
    for (serial, one) in &issuances {
        assert_eq!(one.state != State::Open, issued.remove(serial), "{serial}");
        assert_eq!(one.state == State::Revoked, revoked.remove(serial), "{serial}");
        if let Some(predecessor) = &one.intent.predecessor {
            assert!(issuances.contains_key(&predecessor.to_string()), "{serial}");
        }
    }
    assert!(issued.is_empty() && revoked.is_empty(), "events without records");
    for number in before {
        assert_eq!(issuances[&serial(number).to_string()].state, State::Revoked);
        assert!(issuances.contains_key(&serial(50_000 + number).to_string()));
        assert!(accounts.contains(&format!("account-{number}")));
    }
    for node in nodes {
        node.close().await;
    }
}

async fn issue_as(store: &dyn Store, number: u64, predecessor: Option<Serial>) -> Arc<Issuance> {
    store
        .begin(Intent { predecessor, ..intent(number, number) }, Conditions::default())
        .await
        .unwrap();
    let event = event(Name::CertificateIssued, number).with("serial", serial(number));
    store.complete(&serial(number), vec![0x31; 80], event).await.unwrap()
}

async fn items_of(snapshot: &PostgresSnapshot) -> Vec<Item> {
    let (mut walk, mut items) = (Walk::new(snapshot), Vec::new());
    while let Some(item) = walk.next().await.unwrap() {
        items.push(item);
    }
    items
}
