//! A manufacturer of devices, by openssl: IDevIDs, and CRLs.

use crate::common::*;
use std::fs;

/// A manufacturer: a root, an issuing CA, and a device with an IDevID that never ends.
pub(crate) struct Acme {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) device: Identity,
}

impl Acme {
    /// Its CRLs are of this time, and to be replaced by `next`.
    pub(crate) fn new(issued: &str, next: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap().to_owned();
        let at = |name: &str| format!("{place}/{name}");
        let mut config = "[any]\ncommonName = optional\nserialNumber = optional\n\
             [list]\nauthorityKeyIdentifier = keyid\n\
             [of_ca]\nbasicConstraints = critical, CA:TRUE\nsubjectKeyIdentifier = hash\n\
             keyUsage = critical, keyCertSign, cRLSign\n\
             [of_device]\nkeyUsage = critical, digitalSignature\n"
            .to_owned();
        for ca in ["root", "issuing"] {
            config += &format!(
                "[{ca}]\ndatabase = {place}/{ca}.index\nnew_certs_dir = {place}\nserial = {place}/{ca}.serial\n\
                 crlnumber = {place}/{ca}.number\ndefault_md = sha256\npolicy = any\nunique_subject = no\n\
                 certificate = {place}/{ca}.pem\nprivate_key = {place}/{ca}.key\ncrl_extensions = list\n"
            );
            fs::write(at(&format!("{ca}.index")), "").unwrap();
            fs::write(at(&format!("{ca}.serial")), "0A\n").unwrap();
            fs::write(at(&format!("{ca}.number")), "01\n").unwrap();
        }
        fs::write(at("ca.cnf"), config).unwrap();
        let acme = Self { folder, device: Identity { pem: String::new(), key: String::new() } };
        acme.certify("root", "root", "of_ca", "/CN=Acme Root");
        acme.certify("root", "issuing", "of_ca", "/CN=Acme Devices");
        acme.certify("issuing", "device", "of_device", "/CN=device");
        acme.publish("root", issued, next);
        acme.publish("issuing", issued, next);
        let device = acme.identity("device");
        Self { device, ..acme }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    /// Runs `openssl ca` for one of its CAs.
    fn ca(&self, ca: &str, arguments: &[&str]) {
        let config = self.at("ca.cnf");
        let all = [&["ca", "-batch", "-config", &config, "-name", ca], arguments].concat();
        openssl(&all);
    }

    pub(crate) fn certify(&self, ca: &str, name: &str, extensions: &str, subject: &str) {
        let key = new_key("EC");
        fs::write(self.at(&format!("{name}.key")), &key).unwrap();
        let csr = openssl_with(
            &["req", "-inform", "DER", "-outform", "PEM"],
            &csr_with(&key, &["-subj", subject]),
        );
        fs::write(self.at("csr"), csr).unwrap();
        let (csr, out) = (self.at("csr"), self.at(&format!("{name}.pem")));
        let dates = ["-startdate", "20260101000000Z", "-enddate", "99991231235959Z"];
        let signed = ["-in", &csr, "-out", &out, "-notext", "-extensions", extensions];
        let own: &[&str] = if ca == name { &["-selfsign"] } else { &[] };
        self.ca(ca, &[&signed[..], &dates, own].concat());
    }

    /// A device's chain, without the root.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let pem = self.read(&format!("{name}.pem")) + &self.read("issuing.pem");
        Identity { pem, key: self.read(&format!("{name}.key")) }
    }

    pub(crate) fn revoke(&self, ca: &str, name: &str) {
        let certificate = self.at(&format!("{name}.pem"));
        self.ca(ca, &["-revoke", &certificate, "-crl_reason", "keyCompromise"]);
    }

    /// Replaces the CRL of a CA by a rename.
    pub(crate) fn publish(&self, ca: &str, issued: &str, next: &str) {
        let new = self.at("new.crl");
        let dates = ["-crl_lastupdate", issued, "-crl_nextupdate", next];
        self.ca(ca, &[&["-gencrl", "-out", &new][..], &dates].concat());
        fs::rename(new, self.at(&format!("{ca}.crl"))).unwrap();
    }

    /// The configuration of a label for its devices.
    pub(crate) fn label(&self, files: &[&str], more: &str) -> String {
        let files: Vec<String> = files.iter().map(|file| self.at(file)).collect();
        let root = self.at("root.pem");
        format!(
            "[label.factory]\naccept = [\"manufacturer:acme\"]\n\
             [manufacturer.acme]\nanchors = [{root:?}]\ncrl_files = {files:?}\n{more}\n"
        )
    }
}
