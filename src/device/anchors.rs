//! The trust anchors of a device, and their two files.
//!
//! `ca.pem` is the answer to `/cacerts` of the label: the CA certificates of the label, which with most
//! servers also verify the server. They replace the previous ones (RFC 7030 §4.1.3).
//!
//! A label's CA need not be the CA of the server's certificate. If `ca.pem` alone no longer
//! verifies the server, its anchors are stored beside it in `server-ca.pem`. A server is trusted under
//! either file. `server-ca.pem` is removed once `ca.pem` suffices.

use super::{
    DeviceFailure,
    files::{self, FileError},
};
use crate::{
    client::{CaCertsResponse, Client, Connection, ServerChain, Trust},
    pki::pem,
};
use std::path::{Path, PathBuf};

/// The files of anchors in a folder, and their contents at the start.
#[derive(Debug)]
pub(super) struct AnchorFiles {
    pub(super) ca: PathBuf,
    server: PathBuf,
    /// The sets of certificates that are trusted in this run; none with a fingerprint.
    trusted: Vec<Vec<Vec<u8>>>,
    fingerprint: Option<[u8; 32]>,
}

impl AnchorFiles {
    /// Reads the anchors: those of the arguments, otherwise the files of the folder.
    ///
    /// # Errors
    /// A file that cannot be read, or none at all.
    pub(super) fn read(
        folder: &Path,
        cacert: Option<&Path>,
        fingerprint: Option<[u8; 32]>,
    ) -> Result<Self, DeviceFailure> {
        let (ca, server) = (folder.join("ca.pem"), folder.join("server-ca.pem"));
        let mut trusted = Vec::new();
        if let Some(path) = cacert {
            trusted.push(usable(path, &files::read(path)?)?);
        } else if fingerprint.is_none() {
            for path in [&server, &ca] {
                if let Some(pem) = files::read_if_there(path)? {
                    trusted.push(usable(path, &pem)?);
                }
            }
            if trusted.is_empty() {
                return Err(DeviceFailure::wrong_call(
                    format_args!(
                        "no trust anchor: neither --cacert nor --fingerprint is given, and there \
                         is no {}",
                        ca.display()
                    ),
                    "ask the server's operator for the SHA-256 fingerprint of the CA and give it \
                     with --fingerprint",
                ));
            }
        }
        Ok(Self { ca, server, trusted, fingerprint })
    }

    /// Returns the trust for the client.
    pub(super) fn trust(&self) -> Trust {
        match self.fingerprint {
            Some(fingerprint) => Trust::Fingerprint(fingerprint),
            None => Trust::AnyOf(self.trusted.clone()),
        }
    }

    /// Stores the answer of `/cacerts` over a connection.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn keep(
        &self,
        client: &Client,
        connection: &Connection,
        bag: Vec<Vec<u8>>,
    ) -> Result<(), FileError> {
        let pinned = client.pinned().map(<[u8]>::to_vec);
        let answer = CaCertsResponse { bag, server: connection.server_chain(), pinned };
        self.keep_all(&answer).map(|_| ())
    }

    /// Stores CA certificates, and the server's anchors beside them if they differ.
    ///
    /// Returns the file of the server's anchors, if it exists.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn keep_all(&self, answer: &CaCertsResponse) -> Result<Option<&Path>, FileError> {
        let CaCertsResponse { bag, server, pinned } = answer;
        if server.leads_to(bag) {
            write(&self.ca, bag)?;
            files::remove_file(&self.server)?;
            return Ok(None);
        }
        // The anchors of the server first: power may fail between the two files.
        write(&self.server, &self.of_server(server, pinned.as_ref()))?;
        write(&self.ca, bag)?;
        Ok(Some(&self.server))
    }

    /// Stores the server's anchors if `/cacerts` returned none, so that the next run has some.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn keep_trusted(
        &self,
        client: &Client,
        connection: &Connection,
    ) -> Result<(), FileError> {
        if files::read_if_there(&self.ca)?.is_some() {
            return Ok(());
        }
        let pinned = client.pinned().map(<[u8]>::to_vec);
        write(&self.server, &self.of_server(&connection.server_chain(), pinned.as_ref()))
    }

    /// The anchors by which this server was verified.
    fn of_server(&self, server: &ServerChain, pinned: Option<&Vec<u8>>) -> Vec<Vec<u8>> {
        if let Some(pinned) = pinned {
            return vec![pinned.clone()];
        }
        let sufficient = self.trusted.iter().find(|set| server.leads_to(set));
        sufficient.cloned().unwrap_or_else(|| self.trusted.concat())
    }
}

/// Reads anchors that can verify a server.
fn usable(path: &Path, pem: &[u8]) -> Result<Vec<Vec<u8>>, DeviceFailure> {
    let remedy = "give the CA certificates of the server in PEM form";
    let anchors =
        pem::decode_certificates(pem).map_err(|error| DeviceFailure::file(path, error, remedy))?;
    Trust::check(&anchors).map_err(|error| DeviceFailure::file(path, error, remedy))?;
    Ok(anchors)
}

/// Writes certificates unless the file holds just them: a device checks its anchors often, and its
/// flash need not wear.
fn write(path: &Path, certificates: &[Vec<u8>]) -> Result<(), FileError> {
    let pem = pem::encode_certificates(certificates.iter().map(Vec::as_slice));
    if files::read_if_there(path)?.as_deref() == Some(pem.as_bytes()) {
        return Ok(());
    }
    files::write(path, pem.as_bytes(), 0o644)
}
