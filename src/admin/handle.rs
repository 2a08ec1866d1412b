//! The trait of a call's handler.

use super::{error::Error, service::Admin};
use crate::{api::call::Call, types::Actor};

/// A call that this server answers.
pub trait Handle: Call {
    /// Does what the call asks for, on behalf of `actor`.
    ///
    /// # Errors
    /// [`Error`]: each variant that the call's values and the store can cause.
    fn handle(
        self,
        admin: &Admin,
        actor: &Actor,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}
