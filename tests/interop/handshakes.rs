//! Failed handshakes of openssl and gnutls-cli, as the operator reads them in the log.

use crate::process::Estd;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

#[test]
fn each_failed_handshake_is_logged_with_its_cause_and_remedy() {
    let server = Estd::start();
    let (port, anchor) = (server.port.to_string(), server.anchor().display().to_string());
    let (address, other) = (format!("127.0.0.1:{port}"), server.path("other.pem"));
    let other = other.display().to_string();
    let other_ca = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=other \
                    -days 36500 -keyout other.key -out other.pem";
    run(&server, "openssl", &other_ca.split_whitespace().collect::<Vec<_>>());
    let openssl = |arguments: &str| {
        let common = format!("s_client -verify_return_error -connect {address} {arguments}");
        run(&server, "openssl", &common.split_whitespace().collect::<Vec<_>>());
    };
    // `timeout` ends it if a line is missing.
    let mut log = Command::new("timeout")
        .args(["60", "tail", "-n", "+1", "-f", "log"])
        .current_dir(server.folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(log.stdout.take().unwrap()).lines();
    let mut expect = |what: &str| {
        let mut read = Vec::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            if line.contains("TLS handshake with 127.0.0.1:") && line.contains(what) {
                return;
            }
            read.push(line);
        }
        panic!("no line has {what:?}: {read:#?}");
    };

    openssl(&format!("-CAfile {other}"));
    expect("the client does not trust this server's CA (alert unknown_ca): install the root");
    openssl(&format!("-CAfile {anchor} -attime 4102444800"));
    expect("finds the server's certificate expired (alert certificate_expired): compare its clock");
    openssl(&format!("-CAfile {anchor} -verify_hostname other.example"));
    expect("rejects the server's certificate (alert bad_certificate): often it does not trust");
    let versions = "NORMAL:-VERS-ALL:+VERS-TLS1.1";
    let localhost = ["--insecure", "--priority", versions, "--port", &port, "localhost"];
    run(&server, "gnutls-cli", &localhost);
    expect("offers TLS 1.1 at most; this server accepts TLS 1.2 and 1.3 (RFC 8996)");
    openssl("-tls1_2 -cipher AES256-SHA");
    expect("client and server have nothing in common: NoKxGroupsInCommon");
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.write_all(b"GET /.well-known/est/cacerts HTTP/1.1\r\n\r\n").unwrap();
    expect("does not speak TLS, or speaks it wrongly: its URL must begin with https");
    log.kill().unwrap();
    log.wait().unwrap();
}

/// Runs a client that must fail, or a command of the test.
fn run(server: &Estd, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let silent = command.args(arguments).current_dir(server.folder.path()).stdin(Stdio::null());
    silent.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
}
