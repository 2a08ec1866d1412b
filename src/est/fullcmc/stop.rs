//! Rejections of messages, and errors of the server.

use crate::{
    est::Error,
    pki::cmc::{CmcError, FailInfo},
};

/// Reason to stop: a rejection of the message, or an error of the server.
pub(super) enum Stop {
    Rejected(CmcError),
    Error(Error),
}

impl From<CmcError> for Stop {
    fn from(error: CmcError) -> Self {
        Self::Rejected(error)
    }
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(rejection: E) -> Self {
        Self::Error(rejection.into())
    }
}

/// The CMC code of an error of the server. The error itself is logged.
pub(super) fn server_error(rejection: &Error) -> CmcError {
    match rejection {
        Error::Store(_) | Error::Signer(_) | Error::Busy(_) => CmcError::whole(
            FailInfo::TryLater,
            "the server cannot record or sign at present; nothing was handed out",
        ),
        Error::Forbidden(rejection) | Error::Unauthenticated(rejection) => {
            CmcError::whole(FailInfo::BadIdentity, rejection)
        }
        _ => CmcError::whole(
            FailInfo::InternalCaError,
            "internal error; report the request id to the operator",
        ),
    }
}
