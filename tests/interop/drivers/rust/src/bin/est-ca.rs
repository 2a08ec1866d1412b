//! EST driver over the crate est-ca.
//! usage: est-ca cacerts|enroll|reenroll
//! env: EST_SERVER (https://HOST:PORT) EST_CA EST_USER EST_PASSWORD EST_CERT EST_KEY EST_CN
//!      EST_OUT (dir: ca.pem, cert.pem, key.pem)
//! exit 0 on success, 1 with a message on failure, 64 not in this client. Basic only, no labels.
use base64::{Engine, engine::general_purpose::STANDARD};
use est_ca::est::client;
use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    let operation = env::args().nth(1).unwrap_or_default();
    if !["cacerts", "enroll", "reenroll"].contains(&operation.as_str()) {
        eprintln!("unsupported operation {operation:?}");
        return ExitCode::from(64);
    }
    match run(&operation).await {
        Ok(()) => {
            println!("OK est-ca {operation}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("FAIL est-ca {operation}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(operation: &str) -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("EST_OUT").unwrap_or_else(|_| ".".to_owned()));
    fs::create_dir_all(&out)?;
    let server = env::var("EST_SERVER")?;
    let anchor = reqwest::Certificate::from_pem(&fs::read(env::var("EST_CA")?)?)?;
    let mut http =
        reqwest::Client::builder().tls_built_in_root_certs(false).add_root_certificate(anchor);
    if let Ok(cert) = env::var("EST_CERT") {
        let key = fs::read(env::var("EST_KEY")?)?;
        http = http.identity(reqwest::Identity::from_pkcs8_pem(&fs::read(cert)?, &key)?);
    }
    let http = http.build()?;
    if operation == "cacerts" {
        // Of several it hands out the first one.
        let der = client::cacerts(&http, &server).await?;
        fs::write(out.join("ca.pem"), pem(&der))?;
        return Ok(());
    }
    let name = env::var("EST_CN").unwrap_or_else(|_| "est-ca.example.com".to_owned());
    let (csr, key) = client::make_csr(&name)?;
    let der = if operation == "enroll" {
        let (user, password) = (env::var("EST_USER")?, env::var("EST_PASSWORD")?);
        client::simpleenroll(&http, &server, &user, &password, &csr).await?
    } else {
        client::simplereenroll(&http, &server, &csr).await?
    };
    fs::write(out.join("key.pem"), key)?;
    fs::write(out.join("cert.pem"), pem(&der))?;
    Ok(())
}

/// A certificate as openssl reads it.
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
