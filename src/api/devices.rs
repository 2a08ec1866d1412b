//! Registered devices.

use super::{certificates::CertificateEntry, error::ErrorResponse, tokens::TokenEntry};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Registers a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewDevice {
    /// Id: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`.
    pub id: String,
    /// Identifiers that it can prove, as `KIND:…`; each belongs to one device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identifiers: Vec<String>,
    /// The labels under which it may enroll; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// How many of its certificates may be valid at once; none: as many as the label allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<u32>,
    /// It may enroll from this time on: RFC 3339 or a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// It may enroll before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Tags by name: 1 to 32 characters of `a-z 0-9 _ -`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Lists devices by id; all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceQuery {
    /// Part of the id, not case-sensitive.
    pub search: Option<String>,
    /// `registered`, `active`, `blocked` or `retired`.
    pub state: Option<String>,
    /// A label under which it may enroll.
    pub label: Option<String>,
    /// A tag's name, or `NAME=VALUE`.
    pub tag: Option<String>,
    /// Cursor: the id of the last device of the previous page.
    pub after: Option<String>,
    /// Largest number of devices: 1 to 1000. Default: 100.
    pub limit: Option<usize>,
}

/// A page of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    /// Devices by id. A page may be empty although a next one exists.
    pub devices: Vec<DeviceEntry>,
    /// Value of `after` for the next page; none if this is the last.
    pub next: Option<String>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// Id.
    pub id: String,
    /// `registered`; `active` once it had a certificate; `blocked` or `retired`.
    pub state: String,
    /// Identifiers that it can prove.
    pub identifiers: Vec<String>,
    /// The labels under which it may enroll; none: all.
    pub labels: Option<Vec<String>>,
    /// How many of its certificates may be valid at once.
    pub quota: Option<u32>,
    /// It may enroll from this time on, RFC 3339.
    pub from: Option<String>,
    /// It may enroll before this time, RFC 3339.
    pub until: Option<String>,
    /// Tags by name.
    pub tags: BTreeMap<String, String>,
    /// Time of its registration, RFC 3339.
    pub registered: String,
}

/// Shows one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowDevice {
    /// Id.
    pub id: String,
}

/// A device with its certificates and tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDetails {
    /// The device.
    pub device: DeviceEntry,
    /// Its last certificates, at most 100, in the order of issuance.
    pub certificates: Vec<CertificateEntry>,
    /// Number of its certificates.
    pub certificate_count: u64,
    /// Tokens for it, at most 100.
    pub tokens: Vec<TokenEntry>,
    /// Whether more tokens exist.
    pub more_tokens: bool,
}

/// Blocks, unblocks or retires devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeStanding {
    /// Ids: 1 to 1000.
    pub devices: Vec<String>,
    /// `enabled`, `blocked` or `retired`.
    pub standing: String,
    /// Text for the audit events.
    #[serde(default)]
    pub comment: Option<String>,
}

/// The answer to [`ChangeStanding`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingChanges {
    /// Devices that are as requested now.
    pub changed: Vec<StandingChange>,
    /// Devices that are not, and why.
    pub failed: Vec<FailedDevice>,
}

/// A device whose standing is as requested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingChange {
    /// Id.
    pub device: String,
    /// Its standing: `enabled`, `blocked` or `retired`.
    pub standing: String,
    /// Whether it was so before.
    pub before: bool,
}

/// A device that a call could not handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedDevice {
    /// Id as given.
    pub device: String,
    /// The error.
    pub reason: ErrorResponse,
}

/// Sets and removes tags of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeTags {
    /// Id.
    pub device: String,
    /// Tags to set, by name.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Names of tags to remove.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// Begins an import of devices. Of an earlier one that did not end, nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginImport {}

/// An import that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportBegun {
    /// Its number.
    pub import: u64,
}

/// Stages devices of an import. They are registered when it is finished, all in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageDevices {
    /// Number of the import.
    pub import: u64,
    /// Devices: 1 to 1000.
    pub devices: Vec<NewDevice>,
}

/// Compares devices with those on record, and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckDevices {
    /// Devices: 1 to 1000.
    pub devices: Vec<NewDevice>,
}

/// The answer to [`CheckDevices`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceConflicts {
    /// Devices that cannot be registered, and why.
    pub failed: Vec<FailedDevice>,
}

/// Registers the staged devices of an import, in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishImport {
    /// Number of the import.
    pub import: u64,
    /// Number of its devices, for the audit event.
    pub count: u64,
    /// Name of the file, for the audit event.
    #[serde(default)]
    pub file: Option<String>,
}

/// Discards the staged devices of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbandonImport {
    /// Number of the import.
    pub import: u64,
}
