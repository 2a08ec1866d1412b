//! Small checked values that are made in one place and read in several.

mod actor;
<<<<<<< HEAD
mod binding;
mod decrypt_key;
=======
mod csrattrs;
mod digest;
>>>>>>> a33762a (/csrattrs: what a profile demands of a CSR, asked for and checked from one list)
mod fault;
mod host;
mod key_kind;
mod key_usage;
mod name;
mod peer;
mod revocation;
mod san_kind;
mod serial;
mod time;

pub use actor::{Actor, Method, TrustClass};
<<<<<<< HEAD
pub use binding::{Binding, BindingKind, Spent, Unbound};
pub use decrypt_key::{DecryptKey, InvalidDecryptKey};
=======
pub use csrattrs::{CsrAttribute, CsrAttrsForm, SubjectAttribute};
pub use digest::Digest;
>>>>>>> a33762a (/csrattrs: what a profile demands of a CSR, asked for and checked from one list)
pub use fault::Fault;
pub use host::is_dns_name;
pub use key_kind::KeyKind;
pub use key_usage::KeyUsage;
pub use name::{CaName, InvalidName, Label, Operation, ProfileName, RequestId};
pub use peer::{ClientCertificate, Origin, Peer, Verdict};
pub use revocation::{InvalidReason, RevocationReason};
pub use san_kind::SanKind;
pub use serial::{InvalidSerial, Serial};
pub use time::Time;
