//! Measures a registry of many devices: the time of an import while the server enrolls, how much that
//! delays an enrollment, the next start, and memory. The programs are the delivered ones.
//!
//! `cargo bench --bench registry -- [postgres] [DEVICES]` (1,000,000 without it, on sled without
//! `postgres`), with TMPDIR on the disk in question: about 3 GB. PostgreSQL is that of Debian's
//! package. docs/performance.md has the bars.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a measurement, not the server"
)]

#[path = "../tests/common/postgres.rs"]
mod postgres;
#[path = "../tests/interop/process.rs"]
mod process;

use estd::{
    client::{Client, ClientConfig, PasswordAccount, Trust},
    pki::{CsrBuilder, PrivateKey, pem},
    types::KeyKind,
};
use process::{Estd, estd, good};
use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// Enrollments that show how long one takes without an import.
const BEFORE: usize = 200;

/// A list as a factory's database writes it: in the order of serial numbers, with two identifiers each.
fn write_list(path: &Path, count: u64) {
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    writeln!(file, "id,identifiers,labels,quota,from,until,tag.site,tag.order").unwrap();
    for number in 0..count {
        writeln!(
            file,
            "gw-{number:07},serial:acme:SN-{number:07};spki:{number:064x},factory,1,2026-01-01,,\
             plant-{},{}",
            number % 9,
            number / 1000
        )
        .unwrap();
    }
    file.flush().unwrap();
}

/// Resident memory of a process, now and at most, in MiB.
fn resident(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (field("VmRSS:") / 1024, field("VmHWM:") / 1024)
}

fn client(server: &Estd) -> Client {
    let anchors = pem::decode_certificates(&fs::read(server.anchor()).unwrap()).unwrap();
    let address = format!("localhost:{}", server.port).parse().unwrap();
    let mut config = ClientConfig::new(address, Trust::Anchors(anchors));
    let password = Zeroizing::new(server.password.clone());
    config.account = Some(PasswordAccount { name: "enroll".to_owned(), password });
    Client::new(config).unwrap()
}

/// Enrolls once, on a connection of its own.
async fn enroll(client: &Client, key: &PrivateKey, number: usize) -> Duration {
    let subject = format!("CN=other-{number}");
    let csr = CsrBuilder::new().subject(&subject).unwrap().build(key).unwrap();
    let start = Instant::now();
    client.simple_enroll(&csr).await.unwrap();
    start.elapsed()
}

fn describe(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{what:<36} {} enrollments: median {:.0} ms, 99 % {:.0} ms, longest {:.0} ms",
        times.len(),
        at(50),
        at(99),
        times.last().unwrap().as_secs_f64() * 1000.0
    );
}

async fn measure(server: Estd, count: u64) {
    let list = server.path("devices.csv");
    write_list(&list, count);
    println!("list of {count} devices: {} MiB", fs::metadata(&list).unwrap().len() >> 20);
    let (client, key) = (client(&server), PrivateKey::generate(KeyKind::P256).unwrap());
    let mut times = Vec::new();
    for number in 0..BEFORE {
        times.push(enroll(&client, &key, number).await);
    }
    describe("before the import", times);
    println!("resident before the import           {} MiB", resident(server.pid()).0);

    let ended = Arc::new(AtomicBool::new(false));
    let import = {
        let (folder, ended) = (server.folder.path().to_owned(), Arc::clone(&ended));
        std::thread::spawn(move || {
            let start = Instant::now();
            let output = estd(&folder, &["device", "import", "devices.csv"]).output().unwrap();
            let time = start.elapsed();
            ended.store(true, Ordering::Relaxed);
            good("import", output);
            time
        })
    };
    let (mut times, mut number) = (Vec::new(), BEFORE);
    while !ended.load(Ordering::Relaxed) {
        times.push(enroll(&client, &key, number).await);
        number += 1;
    }
    println!("import                               {:.1} s", import.join().unwrap().as_secs_f64());
    describe("during the import", times);
    let (now, most) = resident(server.pid());
    println!("resident after the import            {now} MiB, at most {most} MiB");
    let mut times = Vec::new();
    for each in 0..BEFORE {
        times.push(enroll(&client, &key, number + each).await);
    }
    describe("after the import", times);

    let folder = server.stop();
    let start = Instant::now();
    let server = Estd::start_in(folder);
    println!("start                                {:.2} s", start.elapsed().as_secs_f64());
    let (now, most) = resident(server.pid());
    println!("resident after the start             {now} MiB, at most {most} MiB");
    let start = Instant::now();
    let last = format!("gw-{:07}", count - 1);
    server.operator(&["device", "show", &last]);
    println!(
        "estd device show                     {:.0} ms",
        start.elapsed().as_secs_f64() * 1000.0
    );
    let start = Instant::now();
    let listed = server.operator(&["device", "list", "--json"]);
    assert_eq!(listed.lines().count() as u64, count);
    println!("estd device list                     {:.1} s", start.elapsed().as_secs_f64());
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (on_postgres, count) = match words[..] {
        [] => (false, "1000000"),
        ["postgres"] => (true, "1000000"),
        ["postgres", count] => (true, count),
        [count] => (false, count),
        _ => return println!("usage: registry [postgres] [DEVICES]"),
    };
    let count = count.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if on_postgres {
        let database = postgres::Postgres::start();
        database.sql("postgres", "CREATE DATABASE estd");
        let socket = database.socket().display();
        let lines = format!("connection = \"host={socket} user=estd dbname=estd\"");
        runtime.block_on(measure(Estd::start_in(Estd::folder_on_postgres(&lines)), count));
    } else {
        runtime.block_on(measure(Estd::start(), count));
    }
}
