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
mod tests;
