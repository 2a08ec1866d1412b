use super::*;
use crate::{
    pki::crl::made::Draft,
    server::trust::made::{NOW, Party},
    types::Time,
};

/// A CA with a file for its CRL.
struct Publisher {
    ca: Party,
    folder: tempfile::TempDir,
}

impl Publisher {
    fn new(name: &str) -> Self {
        Self { ca: Party::new(name), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("acme.crl")
    }

    fn anchor(&self) -> Vec<u8> {
        self.ca.certify_with(&self.ca, 1, Vec::new()).to_vec()
    }

    fn draft(&self, number: u8) -> Draft {
        let days = |days| Duration::from_secs(days * 86_400);
        let issued = NOW.plus(days(u64::from(number)));
        Draft::new(&self.ca.name, issued, issued.plus(days(7))).number(number)
    }

    /// The CRL of this number, which revokes the certificates 1 to that number.
    fn crl(&self, number: u8) -> Vec<u8> {
        let draft = (1..=number)
            .fold(self.draft(number), |draft, serial| draft.revoked(&[serial], NOW, &[]));
        draft.sign(&self.ca.key)
    }

    fn write(&self, contents: &[u8]) {
        fs::write(self.path(), contents).unwrap();
    }

    fn open(&self, anchors: &[Vec<u8>]) -> CrlFiles {
        CrlFiles::open(&[self.path()], anchors.into(), None).unwrap()
    }
}

/// The number of entries in use, and the error.
fn state(files: &CrlFiles) -> (usize, Option<CrlFileError>) {
    let file = &files.files[0];
    (file.used.list().count(), file.error.clone())
}

#[test]
fn a_new_crl_is_in_use_after_one_look() {
    let ca = Publisher::new("CN=Acme");
    ca.write(&ca.crl(1));
    let mut files = ca.open(&[ca.anchor()]);
    for _ in 0..3 {
        assert!(!files.look());
    }
    ca.write(&ca.crl(2));
    assert!(files.look());
    assert_eq!(state(&files), (2, None));
    assert!(!files.look() && !files.look());

    // By a rename, as PEM, and with the file's time set back.
    let next = ca.folder.path().join("next");
    fs::write(&next, &*crate::pki::pem::encode_block("X509 CRL", &ca.crl(3))).unwrap();
    File::options().append(true).open(&next).unwrap().set_modified(NOW.into()).unwrap();
    fs::rename(&next, ca.path()).unwrap();
    assert!(files.look());
    assert_eq!(state(&files), (3, None));
}

#[test]
fn a_file_is_read_again_once_although_it_looks_the_same() {
    let ca = Publisher::new("CN=Acme");
    ca.write(&ca.crl(1));
    let mut files = ca.open(&[]);
    ca.write(&ca.crl(2));
    // As if the change were within one tick of the file system's clock.
    files.files[0].seen = Ok(FileVersion::of(&ca.path()).unwrap());
    assert!(files.look());
    assert_eq!(state(&files), (2, None));
}

#[test]
fn a_file_without_a_newer_crl_leaves_the_one_in_use() {
    let (ca, other) = (Publisher::new("CN=Acme"), Publisher::new("CN=Other"));
    let same_name = Publisher::new("CN=Acme");
    let good = ca.crl(3);
    let altered = |crl: &[u8]| {
        let mut altered = crl.to_vec();
        // The last byte of the signature.
        *altered.last_mut().unwrap() ^= 1;
        altered
    };
    let older_by_number = Draft { this_update: ca.draft(9).this_update, ..ca.draft(2) };
    let older_by_time = Draft { this_update: ca.draft(1).this_update, ..ca.draft(4) };
    let unsigned = CrlFileError::Crl(CrlError::Signature);
    let by_another = CrlFileError::Signer(CrlError::Signature);
    let number = |number| (NOW.plus(Duration::from_secs(86_400 * number)), number);
    let older = |(time, number): (Time, u64), by: u64| CrlFileError::Older {
        got: format!("{time} with cRLNumber {number:02}"),
        expected: format!("{} with cRLNumber 03", NOW.plus(Duration::from_secs(86_400 * by))),
    };
    let torn = |length: usize| {
        let error = RevocationList::from_file(ca.crl(4)[..length].to_vec()).unwrap_err();
        CrlFileError::Crl(error)
    };
    let of_another = CrlFileError::Issuer { got: "CN=Other".into(), expected: "CN=Acme".into() };
    for by_anchor in [true, false] {
        let anchors = if by_anchor { vec![ca.anchor()] } else { Vec::new() };
        let signature = || if by_anchor { unsigned.clone() } else { by_another.clone() };
        for (contents, expected) in [
            (ca.crl(4)[..100].to_vec(), torn(100)),
            (Vec::new(), torn(0)),
            (
                b"no CRL".to_vec(),
                CrlFileError::Crl(RevocationList::from_file(b"no CRL".to_vec()).unwrap_err()),
            ),
            (other.crl(4), of_another.clone()),
            (same_name.crl(4), signature()),
            (altered(&ca.crl(4)), signature()),
            (ca.crl(2), older(number(2), 3)),
            (older_by_number.sign(&ca.ca.key), older((number(9).0, 2), 3)),
            (older_by_time.sign(&ca.ca.key), older((number(1).0, 4), 3)),
        ] {
            ca.write(&good);
            let mut files = ca.open(&anchors);
            // A path was valid.
            files.files[0].used.verify(&CertificateFields::parse(&ca.anchor()).unwrap()).unwrap();
            ca.write(&contents);
            assert!(!files.look());
            assert_eq!(state(&files), (3, None), "it may be incomplete: {expected}");
            assert!(!files.look());
            assert_eq!(state(&files), (3, Some(expected.clone())), "by anchor: {by_anchor}");
            assert!(!files.look());
            ca.write(&ca.crl(4));
            assert!(files.look(), "{expected}");
            assert_eq!(state(&files), (4, None));
        }
    }
}

#[test]
fn a_file_that_is_missing_leaves_the_crl_in_use() {
    let ca = Publisher::new("CN=Acme");
    let crl = ca.crl(1);
    ca.write(&crl);
    let mut files = ca.open(&[]);
    fs::remove_file(ca.path()).unwrap();
    assert!(!files.look() && state(&files) == (1, None));
    assert!(!files.look());
    let missing = unreadable(io::Error::from_raw_os_error(2));
    assert_eq!(state(&files), (1, Some(missing.clone())));
    fs::create_dir(ca.path()).unwrap();
    assert!(!files.look() && !files.look());
    let folder = CrlFileError::Unreadable("not a regular file".into());
    assert_eq!(state(&files), (1, Some(folder)));
    fs::remove_dir(ca.path()).unwrap();
    ca.write(&crl);
    assert!(!files.look());
    assert_eq!(state(&files), (1, None), "the same again");

    fs::remove_file(ca.path()).unwrap();
    let opened = CrlFiles::open(&[ca.path()], [].into(), None);
    assert_eq!(opened.unwrap_err(), (ca.path(), missing));
    ca.write(&ca.crl(1)[1..]);
    assert!(CrlFiles::open(&[ca.path()], [].into(), None).is_err());
    ca.write(&Publisher::new("CN=Acme").crl(1));
    let opened = CrlFiles::open(&[ca.path()], [ca.anchor()].into(), None);
    assert_eq!(opened.unwrap_err().1, CrlFileError::Crl(CrlError::Signature));
}

#[test]
fn a_ca_may_change_its_key_if_both_are_anchors() {
    let (ca, next) = (Publisher::new("CN=Acme"), Publisher::new("CN=Acme"));
    ca.write(&ca.crl(1));
    let mut files = ca.open(&[ca.anchor(), next.anchor()]);
    ca.write(&next.crl(2));
    assert!(files.look());
}

#[test]
fn a_reload_keeps_the_crls_in_use() {
    let ca = Publisher::new("CN=Acme");
    ca.write(&ca.crl(2));
    let anchor = ca.anchor();
    let files = ca.open(std::slice::from_ref(&anchor));
    ca.write(&ca.crl(1));
    let open =
        |anchors: &[Vec<u8>]| CrlFiles::open(&[ca.path()], anchors.into(), Some(&files)).unwrap();
    let mut again = open(&[anchor]);
    assert_eq!(state(&again), (2, None));
    assert!(!again.look() && !again.look());
    assert!(matches!(state(&again), (2, Some(CrlFileError::Older { .. }))));
    assert_eq!(state(&open(&[])), (1, None), "other anchors");
}
