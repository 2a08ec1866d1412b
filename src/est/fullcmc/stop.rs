//! Rejections of messages, and errors of the server.

use crate::{
    est::Error,
    pki::cmc::{FailInfo, Refused},
};

/// Why a message is rejected: for the client, or an error of the server.
pub(super) enum Stop {
    Refused(Refused),
    Error(Error),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(rejection: E) -> Self {
        Self::Error(rejection.into())
    }
}

/// The CMC code of an error of the server. The error itself is logged.
pub(super) fn of_ours(rejection: &Error) -> Refused {
    match rejection {
        Error::Store(_) | Error::Signer(_) | Error::Busy(_) => Refused::whole(
            FailInfo::TryLater,
            "the server cannot record or sign at present; nothing was handed out",
        ),
        _ => Refused::whole(
            FailInfo::InternalCaError,
            "internal error; report the request id to the operator",
        ),
    }
}
