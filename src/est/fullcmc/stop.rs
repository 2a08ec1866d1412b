//! Why a message is not taken, and what the client is told of it.

use crate::{
    est::Error,
    pki::cmc::{FailInfo, Refused},
};

/// Why a message is not taken: for the client, or a rejection of ours.
pub(super) enum Stop {
    Refused(Refused),
    Rejection(Error),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(rejection: E) -> Self {
        Self::Rejection(rejection.into())
    }
}

/// The CMC code of a rejection of ours; what it was goes into the log.
pub(super) fn of_ours(rejection: &Error) -> Refused {
    match rejection {
        Error::Store(_) | Error::Signer(_) | Error::Busy(_) => Refused::whole(
            FailInfo::TryLater,
            "the server cannot record or sign at present; nothing was handed out",
        ),
        _ => Refused::whole(
            FailInfo::InternalCaError,
            "internal error; tell the operator the request id",
        ),
    }
}
