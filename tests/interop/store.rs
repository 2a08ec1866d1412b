//! `estd store` with the program itself: the store of one server serves another.

use crate::{
    common::{Connection, base64, basic, new_csr, post_body},
    postgres::Postgres,
    process::{Estd, operator},
};
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

async fn enroll(estd: &Estd, password: &str, csr: &[u8]) -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], estd.port));
    let mut connection = Connection::open(address, None, &[&rustls::version::TLS13]).await.unwrap();
    let headers = format!("Content-Type: application/pkcs10\r\n{}", basic("enroll", password));
    let reply = connection.send(post_body("simpleenroll", base64(csr).as_bytes(), &headers)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.certificate_pem()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let estd = env!("CARGO_BIN_EXE_estd");
    Command::new(estd).args(arguments).current_dir(folder).output().unwrap()
}

/// The last line of an output that ends with the digest of a store.
fn digest(output: &str) -> &str {
    output.trim().rsplit("SHA-256 of the contents: ").next().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_checked_compacted_exported_imported_copied_and_served_again() {
    let estd = Estd::start();
    let password = estd.password.clone();
    let csrs: Vec<Vec<u8>> =
        (0..5).map(|number| new_csr(&["-subj", &format!("/CN=device-{number}")]).0).collect();
    let mut certificates = Vec::new();
    for csr in &csrs {
        certificates.push(enroll(&estd, &password, csr).await);
    }
    // While a server runs, it locks the store.
    let rejected = run(estd.folder.path(), &["store", "compact"]);
    assert_eq!(rejected.status.code(), Some(1));
    let reported = String::from_utf8(rejected.stderr).unwrap();
    assert!(reported.contains("in use by another process"), "{reported}");
    assert!(reported.contains("remedy: stop the"), "{reported}");
    let folder = estd.stop();
    let here = folder.path();

    let good = operator(here, &["store", "check"]);
    assert!(good.contains("6 issuances, 1 account"), "{good}");
    assert!(good.contains("issuances: 6 issued, 0 void, 0 open") && good.ends_with("good\n"));
    operator(here, &["store", "export", "before.jsonl"]);
    let compacted = operator(here, &["store", "compact"]);
    operator(here, &["store", "export", "after.jsonl"]);
    let read = |name: &str| fs::read(here.join(name)).unwrap();
    assert!(read("before.jsonl") == read("after.jsonl"), "compaction changes nothing");
    let mode = fs::metadata(here.join("after.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds password hashes");
    let again = run(here, &["store", "export", "after.jsonl"]);
    assert_eq!(again.status.code(), Some(1), "an export is never overwritten");
    let piped = run(here, &["store", "export"]);
    assert!(piped.status.success() && piped.stdout == read("after.jsonl"));

    // Another folder, with the CA's keys from here and the store from the export.
    let there = tempfile::tempdir().unwrap();
    fs::copy(here.join("est.toml"), there.path().join("est.toml")).unwrap();
    fs::create_dir(there.path().join("data")).unwrap();
    fs::set_permissions(there.path().join("data"), fs::Permissions::from_mode(0o700)).unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .args([here.join("data/ca"), here.join("data/server")])
        .arg(there.path().join("data"))
        .status();
    assert!(copied.unwrap().success());
    let file = here.join("after.jsonl");
    let file = file.to_str().unwrap();
    let mut cut = read("after.jsonl");
    cut.truncate(cut.len() - 100);
    fs::write(there.path().join("cut.jsonl"), cut).unwrap();
    let rejected = run(there.path(), &["store", "import", "cut.jsonl"]);
    assert_eq!(rejected.status.code(), Some(1));
    assert!(String::from_utf8(rejected.stderr).unwrap().contains("cut short"));
    assert!(!there.path().join("data/store").exists(), "nothing was begun");
    let imported = operator(there.path(), &["store", "import", file]);
    assert_eq!(digest(&imported), digest(&compacted));
    // A second import finds all records present.
    assert_eq!(operator(there.path(), &["store", "import", file]), imported);

    // And a third, filled without an export.
    let third = tempfile::tempdir().unwrap();
    fs::copy(here.join("est.toml"), third.path().join("est.toml")).unwrap();
    let config = third.path().join("est.toml");
    let copy = ["store", "copy", "--from", "sled", "--to", "sled"];
    let copied =
        operator(here, &[&copy[..], &["--target-config", config.to_str().unwrap()]].concat());
    assert_eq!(digest(&copied), digest(&compacted));
    let same = run(here, &copy);
    assert!(String::from_utf8(same.stderr).unwrap().contains("are the same store"));

    // The other server answers a retry as the first one did, knows the account, and continues.
    let estd = Estd::start_in(there);
    assert_eq!(enroll(&estd, &password, &csrs[3]).await, certificates[3]);
    assert_eq!(estd.operator(&["user", "list", "--json"]).matches("\"enroll\"").count(), 1);
    let (new, _) = new_csr(&["-subj", "/CN=later"]);
    enroll(&estd, &password, &new).await;
    let there = estd.stop();
    let good = operator(there.path(), &["store", "check"]);
    assert!(good.contains("7 issuances") && good.ends_with("good\n"), "{good}");
    // It has more records than the export now; they are not merged.
    let rejected = run(there.path(), &["store", "import", file]);
    assert_eq!(rejected.status.code(), Some(1));
    assert!(String::from_utf8(rejected.stderr).unwrap().contains("the target is not empty"));
}

/// A store that is served is checked and exported through its server, while enrollments continue.
/// The export of a quiet server is that of its stopped store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_checked_and_exported_while_it_is_served() {
    let estd = Estd::start();
    let password = estd.password.clone();
    let csr = |name: String| new_csr(&["-subj", &format!("/CN={name}")]).0;
    let mut before = Vec::new();
    for number in 0..5 {
        before.push(enroll(&estd, &password, &csr(format!("before-{number}"))).await);
    }
    let here = estd.folder.path().to_owned();
    let csrs: Vec<Vec<u8>> = (0..20).map(|number| csr(format!("meanwhile-{number}"))).collect();
    let commands = {
        let here = here.clone();
        tokio::task::spawn_blocking(move || {
            let exported = run(&here, &["store", "export", "busy.jsonl"]);
            (exported, run(&here, &["store", "check"]))
        })
    };
    for csr in &csrs {
        enroll(&estd, &password, csr).await;
    }
    let (exported, checked) = commands.await.unwrap();
    for done in [exported, checked] {
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let mode = fs::metadata(here.join("busy.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds password hashes");
    estd.operator(&["user", "add", "another"]);
    operator(&here, &["store", "export", "served.jsonl"]);
    let good = operator(&here, &["store", "check"]);
    assert!(good.contains("26 issuances, 2 accounts") && good.ends_with("good\n"), "{good}");
    let folder = estd.stop();

    let there = tempfile::tempdir().unwrap();
    fs::copy(here.join("est.toml"), there.path().join("est.toml")).unwrap();
    operator(there.path(), &["store", "import", here.join("busy.jsonl").to_str().unwrap()]);
    let good = operator(there.path(), &["store", "check"]);
    assert!(good.ends_with("good\n"), "{good}");
    let text = fs::read_to_string(here.join("busy.jsonl")).unwrap();
    for pem in &before {
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        assert!(text.contains(&base64), "acknowledged before the export began: {pem}");
    }
    // The stop of the server is one more event; all that comes before the events is equal.
    operator(&here, &["store", "export", "stopped.jsonl"]);
    let records = |name: &str| {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("{\"end\""));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (served, stopped) = (records("served.jsonl"), records("stopped.jsonl"));
    assert!(stopped.len() > served.len() && stopped.starts_with(&served));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_copied_into_a_database_and_the_server_goes_on_there() {
    let estd = Estd::start();
    let password = estd.password.clone();
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    let certificate = enroll(&estd, &password, &csr).await;
    let folder = estd.stop();
    let here = folder.path();
    let copy = ["store", "copy", "--from", "sled", "--to", "postgres"];
    let rejected = run(here, &copy);
    assert_eq!(rejected.status.code(), Some(1));
    let reported = String::from_utf8(rejected.stderr).unwrap();
    assert!(
        reported.contains("describes no store in PostgreSQL") && reported.contains("remedy: "),
        "{reported}"
    );

    let database = Postgres::start();
    database.sql("postgres", "CREATE DATABASE estd");
    let text = fs::read_to_string(here.join("est.toml")).unwrap();
    let start = text.find("backend = \"sled\"").unwrap();
    let end = text[start..].find("cache_mib").unwrap() + start;
    let line = text[end..].find('\n').unwrap() + end;
    let socket = database.socket();
    let connection = format!(
        "backend = \"postgres\"\nconnection = \"host={} user=estd dbname=estd sslmode=disable\"",
        socket.display()
    );
    let text = format!("{}{connection}{}", &text[..start], &text[line..]);
    fs::write(here.join("est.toml"), text).unwrap();

    let copied = operator(here, &copy);
    assert!(copied.starts_with("copied and compared: 2 issuances, 1 account"), "{copied}");
    assert_eq!(operator(here, &copy), copied, "done again, it finds everything there");
    let good = operator(here, &["store", "check"]);
    assert!(good.starts_with("2 issuances, 1 account") && good.ends_with("good\n"), "{good}");
    let rejected = run(here, &["store", "compact"]);
    assert!(String::from_utf8(rejected.stderr).unwrap().contains("not compacted by estd"));

    let estd = Estd::start_in(folder);
    assert_eq!(enroll(&estd, &password, &csr).await, certificate, "the first answer");
    let folder = estd.stop();
    // In the other direction, into another folder.
    let back = tempfile::tempdir().unwrap();
    fs::write(back.path().join("est.toml"), "version = 1\n").unwrap();
    let config = back.path().join("est.toml");
    let arguments = ["store", "copy", "--from", "postgres", "--to", "sled", "--target-config"];
    operator(folder.path(), &[&arguments[..], &[config.to_str().unwrap()]].concat());
    let good = operator(back.path(), &["store", "check"]);
    assert!(good.starts_with("2 issuances, 1 account") && good.ends_with("good\n"), "{good}");
}
