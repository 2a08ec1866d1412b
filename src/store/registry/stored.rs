//! Records of the registry beside devices and tokens themselves.

use super::{Device, Identifier, ImportNumber};
use crate::{store::Error, types::DeviceId};
use serde::{Deserialize, Serialize};

/// A device, and the import that staged it: nobody sees it before that import is finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct StoredDevice {
    pub(in crate::store) import: Option<ImportNumber>,
    pub(in crate::store) device: Device,
}

/// The owner of an identifier, and the import that staged it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct StoredOwner {
    pub(in crate::store) import: Option<ImportNumber>,
    pub(in crate::store) device: DeviceId,
}

/// The staged import, until it is finished or all that it staged is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Staging {
    pub(in crate::store) number: ImportNumber,
    /// Whether it was abandoned.
    pub(in crate::store) abandoned: bool,
    /// A device that was registered meanwhile in place of a staged one, with the identifier that both have if
    /// they have different ids.
    pub(in crate::store) conflict: Option<(DeviceId, Option<Identifier>)>,
}

impl Staging {
    /// Why it cannot be finished, if it cannot.
    pub(in crate::store) fn expect_finished(&self) -> Result<(), Error> {
        if self.abandoned {
            return Err(Error::ImportEnded(self.number));
        }
        match &self.conflict {
            None => Ok(()),
            Some((id, None)) => Err(Error::DeviceExists(id.clone())),
            Some((id, Some(identifier))) => Err(Error::IdentifierTaken {
                identifier: Box::new(identifier.clone()),
                device: id.clone(),
            }),
        }
    }
}

/// Reads which import staged a device or an identifier, and nothing else of it.
pub(in crate::store) fn read_import(bytes: &[u8]) -> Option<ImportNumber> {
    let (_, rest) = bytes.split_first()?;
    postcard::take_from_bytes::<Option<ImportNumber>>(rest).ok()?.0
}
