//! Small checked values that one module creates and several read.

mod actor;
mod binding;
mod code;
mod csrattrs;
mod decrypt_key;
mod device_id;
mod digest;
mod due;
pub(crate) mod form;
mod host;
mod key_kind;
mod key_usage;
mod name;
#[cfg(feature = "server")]
mod origin;
mod rejection;
mod remedy;
mod revocation;
mod san_kind;
mod serial;
mod tag_name;
mod text;
mod time;
mod token_id;

pub use actor::{Actor, AuthMethod, TrustClass};
pub use binding::{Binding, BindingKind, Spent, Unbound};
pub use code::{Code, UnknownCode};
pub use csrattrs::{CsrAttribute, CsrAttrsForm, SubjectAttribute};
pub use decrypt_key::{DecryptKey, InvalidDecryptKey};
pub use device_id::{DeviceId, InvalidDeviceId};
pub use digest::{Digest, parse_sha256};
pub use due::RenewalPoint;
pub use host::is_dns_name;
pub use key_kind::KeyKind;
pub use key_usage::KeyUsage;
pub use name::{CaName, InvalidName, Label, ManufacturerName, Operation, ProfileName, RequestId};
#[cfg(feature = "server")]
pub use origin::Origin;
pub use rejection::Rejection;
pub use remedy::file_remedy;
pub use revocation::{InvalidReason, RevocationReason};
pub use san_kind::SanKind;
pub use serial::{InvalidSerial, Serial};
pub use tag_name::{InvalidTagName, TagName};
pub use text::{Escaped, counted, escaped, escaped_json, escaped_line, hidden_character};
pub use time::Time;
pub use token_id::TokenId;
