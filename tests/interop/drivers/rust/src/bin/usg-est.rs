//! EST driver over the crate usg-est-client.
//! usage: usg-est cacerts|csrattrs|enroll|reenroll|serverkeygen
//! env: EST_SERVER (https://HOST:PORT) EST_CA EST_LABEL EST_USER EST_PASSWORD EST_CERT EST_KEY EST_CN
//!      EST_OUT (dir: ca.pem, cert.pem, key.pem)
//! exit 0 on success, 1 with a message on failure, 64 not in this client. TLS 1.3 only, Basic only.
use base64::{Engine, engine::general_purpose::STANDARD};
use der::{EncodePem, pem::LineEnding};
use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};
use usg_est_client::{
    ClientIdentity, EnrollmentResponse, EstClient, EstClientConfig, csr::CsrBuilder,
};

#[tokio::main]
async fn main() -> ExitCode {
    let operation = env::args().nth(1).unwrap_or_default();
    if !["cacerts", "csrattrs", "enroll", "reenroll", "serverkeygen"].contains(&operation.as_str())
    {
        eprintln!("unsupported operation {operation:?}");
        return ExitCode::from(64);
    }
    match run(&operation).await {
        Ok(()) => {
            println!("OK usg {operation}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("FAIL usg {operation}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(operation: &str) -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("EST_OUT").unwrap_or_else(|_| ".".to_owned()));
    fs::create_dir_all(&out)?;
    let mut config = EstClientConfig::builder()
        .server_url(env::var("EST_SERVER")?)?
        .trust_explicit(vec![fs::read(env::var("EST_CA")?)?]);
    if let Ok(label) = env::var("EST_LABEL") {
        config = config.ca_label(label);
    }
    if let Ok(user) = env::var("EST_USER") {
        config = config.http_auth(user, env::var("EST_PASSWORD")?);
    }
    if let Ok(cert) = env::var("EST_CERT") {
        config = config
            .client_identity(ClientIdentity::new(fs::read(cert)?, fs::read(env::var("EST_KEY")?)?));
    }
    let client = EstClient::new(config.build()?).await?;
    if operation == "cacerts" {
        let mut pem = String::new();
        for certificate in client.get_ca_certs().await?.iter() {
            println!("ca: {}", certificate.tbs_certificate().subject());
            pem += &certificate.to_pem(LineEnding::LF)?;
        }
        fs::write(out.join("ca.pem"), pem)?;
        return Ok(());
    }
    if operation == "csrattrs" {
        for attribute in &client.get_csr_attributes().await?.attributes {
            println!("attr: {}", attribute.oid);
        }
        return Ok(());
    }
    let name = env::var("EST_CN").unwrap_or_else(|_| "usg-client".to_owned());
    let (csr, key) = CsrBuilder::new().common_name(name).build()?;
    let (certificate, key) = match operation {
        "serverkeygen" => {
            let made = client.server_keygen(&csr).await?;
            if made.key_encrypted {
                return Err("the key is encrypted: not in this client".into());
            }
            let text = STANDARD.encode(&made.private_key);
            let key = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
            (made.certificate, key)
        }
        _ => {
            let answer = match operation {
                "enroll" => client.simple_enroll(&csr).await?,
                _ => client.simple_reenroll(&csr).await?,
            };
            let EnrollmentResponse::Issued { certificate } = answer else {
                return Err(format!("not issued: {answer:?}").into());
            };
            (*certificate, key.serialize_pem())
        }
    };
    fs::write(out.join("key.pem"), key)?;
    fs::write(out.join("cert.pem"), certificate.to_pem(LineEnding::LF)?)?;
    println!("cert: {}", certificate.tbs_certificate().subject());
    Ok(())
}
