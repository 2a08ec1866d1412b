//! JSON of the operator's interface: `/v1/` on the Unix socket, and `--json` of the commands.
//!
//! Records of the store never leave as they are: these types are the contract.

mod audit;
pub mod call;
mod cas;
mod certificates;
mod devices;
mod error;
mod explain;
mod process;
mod store;
mod tokens;
mod users;

pub use audit::{EventEntry, EventQuery, Events, ListWriters, WriterEntry, Writers};
pub use cas::{CaCertificate, CaEntry, Cas, ShowCas};
pub use certificates::{
    CertificateEntry, CertificateQuery, Certificates, ListRenewed, NotRevoked, Renewed,
    Revocations, Revoke, Revoked, ShowCertificate,
};
pub use devices::{
    AbandonImport, BeginImport, ChangeStanding, ChangeTags, CheckDevices, DeviceConflicts,
    DeviceDetails, DeviceEntry, DeviceList, DeviceQuery, FailedDevice, FinishImport, ImportBegun,
    NewDevice, ShowDevice, StageDevices, StandingChange, StandingChanges,
};
pub use error::{ErrorKind, ErrorResponse};
pub use explain::{
    Explain, ExplainedCertificate, ExplainedProof, ExplainedRecord, ExplainedRejection,
    ExplainedRule, ExplainedVerdict, Explanation,
};
pub use process::{
    CaStatus, ConfigError, LeftOutEvents, OperatorWarning, Reload, Reloaded,
    RenewServerCertificate, ServerCertificate, ShowStatus, Status, StoreStatus,
};
pub use store::{ReadStore, StoreItems};
pub use tokens::{
    DisableTokens, FailedToken, NewToken, NewTokens, TokenEntry, TokenGrant, TokenList,
    TokenProofKeys, TokenQuery, TokensAdded, TokensDisabled,
};
pub use users::{ChangeUser, ListUsers, NewUser, RemoveUser, UserEntry, Users};

/// Passes the table of all calls to a macro: `METHOD "PATH": CALL => ANSWER;`. Each line is a call that the
/// server answers.
macro_rules! each_call {
    ($with:ident) => {
        $with! {
            Get "/v1/cas": ShowCas => Cas;
            Get "/v1/certificates": CertificateQuery => Certificates;
            Get "/v1/certificates/{serial}": ShowCertificate => CertificateEntry;
            Get "/v1/devices": DeviceQuery => DeviceList;
            Post "/v1/devices": NewDevice => DeviceEntry;
            Post "/v1/devices/checks": CheckDevices => DeviceConflicts;
            Post "/v1/devices/standing": ChangeStanding => StandingChanges;
            Post "/v1/devices/tags": ChangeTags => DeviceEntry;
            Get "/v1/devices/{id}": ShowDevice => DeviceDetails;
            Get "/v1/events": EventQuery => Events;
            Get "/v1/events/writers": ListWriters => Writers;
            Post "/v1/explanations": Explain => Explanation;
            Post "/v1/imports": BeginImport => ImportBegun;
            Post "/v1/imports/abandoned": AbandonImport => ();
            Post "/v1/imports/devices": StageDevices => ();
            Post "/v1/imports/finished": FinishImport => ();
            Post "/v1/reload": Reload => Reloaded;
            Get "/v1/renewed": ListRenewed => Renewed;
            Post "/v1/revocations": Revoke => Revocations;
            Post "/v1/server-certificate": RenewServerCertificate => ServerCertificate;
            Get "/v1/status": ShowStatus => Status;
            Get "/v1/store/{part}": ReadStore => StoreItems;
            Get "/v1/tokens": TokenQuery => TokenList;
            Post "/v1/tokens": NewTokens => TokensAdded;
            Post "/v1/tokens/disabled": DisableTokens => TokensDisabled;
            Get "/v1/users": ListUsers => Users;
            Post "/v1/users": NewUser => ();
            Post "/v1/users/changes": ChangeUser => UserEntry;
            Delete "/v1/users/{name}": RemoveUser => ();
        }
    };
}
pub(crate) use each_call;

use call::calls;
each_call!(calls);
