//! The CRL files of manufacturers, read again when they change.
//!
//! A file is compared by time, size and inode. A changed one replaces the CRL in use if it has a CRL of
//! the same issuer that is not older. It must be signed by the same key, as far as the key is known: the
//! key of an anchor, or of a CA on a path that was valid. Otherwise the CRL in use stays, until its
//! nextUpdate and the grace period are over.
//!
//! A changed file is read again at the next look, even if its time stays the same. It may have been
//! incomplete, and the clock of file systems has ticks of some milliseconds. Only an error of that second
//! look counts.

use super::{
    Error,
    trust::{CrlSet, LoadedCrl},
};
use crate::{
    pki::{CertificateFields, CrlError, RevocationList},
    policy::ManufacturerRules,
    types::ManufacturerName,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Why a file does not replace the CRL in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CrlFileError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It has no CRL that can be used, or not one of this manufacturer.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// It has the CRL of another CA.
    #[error("got a CRL of {got}; expected: one of {expected}, as before")]
    Issuer {
        /// The issuer.
        got: String,
        /// The issuer of the CRL in use.
        expected: String,
    },
    /// It is older than the CRL in use.
    #[error("got a CRL of {got}; expected: one not older than that in use, of {expected}")]
    Older {
        /// The time and the cRLNumber.
        got: String,
        /// The same of the CRL in use.
        expected: String,
    },
    /// It is signed by another key than the CRL in use.
    #[error("got a CRL by another key than the one in use, or altered: {0}")]
    Signer(CrlError),
}

impl CrlFileError {
    /// Returns the remedy for the operator.
    pub(super) const fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "put the CRL there, readable for the user of estd",
            Self::Crl(_) => {
                "give the full CRL as its CA publishes it; move it into place by a rename"
            }
            Self::Issuer { .. } => "give this CA's CRL; a file of another CA is named in crl_files",
            Self::Older { .. } => "give the newest CRL; to use an older one, restart estd",
            Self::Signer(_) => {
                "give the CRL as its CA publishes it; if the CA has a new key, name its CRL in crl_files as a \
                 file of its own"
            }
        }
    }
}

/// The identity of a file's contents, as far as the file system shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileVersion {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A CRL file, and the CRL in use.
#[derive(Clone, Debug)]
struct CrlFile {
    path: PathBuf,
    used: Arc<LoadedCrl>,
    /// The file at the last look.
    seen: Result<FileVersion, io::ErrorKind>,
    /// Whether it was read since `seen`, and again at the look after that.
    is_settled: bool,
    error: Option<CrlFileError>,
}

/// A CRL in use, for warnings.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrlState<'a> {
    /// The manufacturer.
    pub(super) manufacturer: &'a ManufacturerName,
    /// The CRL's file.
    pub(super) path: &'a Path,
    /// The CRL.
    pub(super) used: &'a LoadedCrl,
    /// How long after its nextUpdate it still counts.
    pub(super) grace: Duration,
    /// Why the file did not replace it.
    pub(super) error: Option<&'a CrlFileError>,
}

/// The CRL files of all manufacturers that have any.
#[derive(Clone, Debug, Default)]
pub(super) struct ManufacturerCrls(BTreeMap<ManufacturerName, (CrlFiles, Duration)>);

impl ManufacturerCrls {
    /// Reads the files. Those that `former` has in use, with the same anchors, stay as they are.
    ///
    /// # Errors
    /// [`Error::Unfit`] for the first file that cannot be used.
    pub(super) fn open(
        manufacturers: &BTreeMap<ManufacturerName, ManufacturerRules>,
        former: Option<&Self>,
    ) -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for (name, rules) in manufacturers.iter().filter(|(_, rules)| !rules.crl_files.is_empty()) {
            let anchors = rules.anchors.as_slice().into();
            let former = former.and_then(|former| former.0.get(name)).map(|(files, _)| files);
            let opened = CrlFiles::open(&rules.crl_files, anchors, former);
            let files = opened.map_err(|(path, error)| Error::Unfit {
                path,
                error: format!("[manufacturer.{name}] crl_files: {error}"),
                remedy: error.remedy().to_owned(),
            })?;
            all.insert(name.clone(), (files, rules.crl_grace));
        }
        Ok(Self(all))
    }

    /// Whether no manufacturer has CRLs.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at the files, and reads those that changed. Returns whether a CRL was replaced. Logs that,
    /// and each error once.
    ///
    /// Reads and verifies some megabytes: call it where blocking is allowed.
    pub(super) fn look(&mut self) -> bool {
        self.0.values_mut().fold(false, |replaced, (files, _)| files.look() || replaced)
    }

    /// Returns the CRLs in use.
    pub(super) fn sets(&self) -> BTreeMap<ManufacturerName, CrlSet> {
        let sets = self.0.iter().map(|(name, (files, grace))| (name.clone(), files.set(*grace)));
        sets.collect()
    }

    /// Returns the CRLs in use and their files' errors.
    pub(super) fn states(&self) -> impl Iterator<Item = CrlState<'_>> {
        self.0.iter().flat_map(|(manufacturer, (files, grace))| {
            files.files.iter().map(|file| CrlState {
                manufacturer,
                path: &file.path,
                used: &file.used,
                grace: *grace,
                error: file.error.as_ref(),
            })
        })
    }
}

/// The CRL files of one manufacturer, in the order of the configuration.
#[derive(Clone, Debug, Default)]
struct CrlFiles {
    files: Vec<CrlFile>,
    /// Certificates, DER.
    anchors: Arc<[Vec<u8>]>,
}

impl CrlFiles {
    /// Reads the files as [`ManufacturerCrls::open`] does.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    fn open(
        paths: &[PathBuf],
        anchors: Arc<[Vec<u8>]>,
        former: Option<&Self>,
    ) -> Result<Self, (PathBuf, CrlFileError)> {
        let former = former.filter(|former| former.anchors == anchors);
        let file = |path: &PathBuf| {
            let known =
                former.and_then(|former| former.files.iter().find(|file| file.path == *path));
            let opened = || CrlFile::open(path, &anchors).map_err(|error| (path.clone(), error));
            known.map_or_else(opened, |file| Ok(file.clone()))
        };
        Ok(Self { files: paths.iter().map(file).collect::<Result<_, _>>()?, anchors })
    }

    /// Looks at the files as [`ManufacturerCrls::look`] does.
    fn look(&mut self) -> bool {
        let mut replaced = false;
        for file in &mut self.files {
            replaced |= file.look(&self.anchors);
        }
        replaced
    }

    /// Returns the CRLs in use.
    fn set(&self, grace: Duration) -> CrlSet {
        CrlSet::new(self.files.iter().map(|file| Arc::clone(&file.used)).collect(), grace)
    }
}

impl CrlFile {
    fn open(path: &Path, anchors: &[Vec<u8>]) -> Result<Self, CrlFileError> {
        let seen = FileVersion::of(path).map_err(unreadable)?;
        let used = Arc::new(read(path, anchors)?);
        Ok(Self { path: path.to_owned(), used, seen: Ok(seen), is_settled: false, error: None })
    }

    fn look(&mut self, anchors: &[Vec<u8>]) -> bool {
        let found = FileVersion::of(&self.path);
        let seen = found.as_ref().copied().map_err(io::Error::kind);
        if seen == self.seen && self.is_settled {
            return false;
        }
        self.is_settled = seen == self.seen;
        self.seen = seen;
        let outcome = found.map_err(unreadable).and_then(|_| self.newer(anchors));
        let file = self.path.display();
        match outcome {
            Ok(None) => {
                self.error = None;
                false
            }
            Ok(Some(new)) => {
                tracing::info!(
                    "{file} was read again: {}, {} entries",
                    dated(&new),
                    new.list().count()
                );
                self.used = Arc::new(new);
                self.error = None;
                true
            }
            Err(error) => {
                if self.is_settled {
                    tracing::error!(
                        "{file} was not put in force, the CRL of {} stays: {error}; remedy: {}",
                        dated(&self.used),
                        error.remedy()
                    );
                    self.error = Some(error);
                }
                false
            }
        }
    }

    /// Reads the file; `None` if it has the CRL in use.
    fn newer(&self, anchors: &[Vec<u8>]) -> Result<Option<LoadedCrl>, CrlFileError> {
        let (new, used) = (read(&self.path, anchors)?, self.used.list());
        if new.list().der() == used.der() {
            return Ok(None);
        }
        if !new.list().is_of(used.issuer().der()) {
            let (got, expected) = (new.list().issuer().to_string(), used.issuer().to_string());
            return Err(CrlFileError::Issuer { got, expected });
        }
        if new.list().is_older_than(used) {
            return Err(CrlFileError::Older { got: dated(&new), expected: dated(&self.used) });
        }
        // By an anchor it is verified already, perhaps by the next key of the CA.
        if issuers(&new, anchors).next().is_none() {
            verified_by_any(self.used.signers().iter(), |key| new.verify_by(key))
                .map_err(CrlFileError::Signer)?;
        }
        Ok(Some(new))
    }
}

/// Reads a file. If anchors have the issuer's name, one of them signed it.
fn read(path: &Path, anchors: &[Vec<u8>]) -> Result<LoadedCrl, CrlFileError> {
    let mut contents = Vec::new();
    let limit = u64::try_from(RevocationList::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut contents));
    read.map_err(unreadable)?;
    let crl = LoadedCrl::new(RevocationList::from_file(contents)?);
    verified_by_any(issuers(&crl, anchors), |anchor| crl.verify(&anchor))?;
    Ok(crl)
}

/// Returns the anchors that have the issuer's name.
fn issuers<'a>(
    crl: &LoadedCrl,
    anchors: &'a [Vec<u8>],
) -> impl Iterator<Item = CertificateFields<'a>> {
    // The configuration has anchors that can be read.
    let read = anchors.iter().filter_map(|anchor| CertificateFields::parse(anchor).ok());
    read.filter(|anchor| crl.list().is_of(anchor.subject))
}

/// Returns the last error if there are keys and none of them fits.
fn verified_by_any<K>(
    keys: impl Iterator<Item = K>,
    mut verify: impl FnMut(K) -> Result<(), CrlError>,
) -> Result<(), CrlError> {
    let mut outcome = Ok(());
    for key in keys {
        outcome = verify(key);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn dated(crl: &LoadedCrl) -> String {
    let list = crl.list();
    match list.number() {
        Some(number) => format!("{} with cRLNumber {number}", list.this_update()),
        None => list.this_update().to_string(),
    }
}

fn unreadable(error: io::Error) -> CrlFileError {
    CrlFileError::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests {
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
        let of_another =
            CrlFileError::Issuer { got: "CN=Other".into(), expected: "CN=Acme".into() };
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
                files.files[0]
                    .used
                    .verify(&CertificateFields::parse(&ca.anchor()).unwrap())
                    .unwrap();
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
        let open = |anchors: &[Vec<u8>]| {
            CrlFiles::open(&[ca.path()], anchors.into(), Some(&files)).unwrap()
        };
        let mut again = open(&[anchor]);
        assert_eq!(state(&again), (2, None));
        assert!(!again.look() && !again.look());
        assert!(matches!(state(&again), (2, Some(CrlFileError::Older { .. }))));
        assert_eq!(state(&open(&[])), (1, None), "other anchors");
    }
}
