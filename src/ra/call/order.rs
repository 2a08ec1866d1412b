//! The order for a CSR: its device is found, and it is decided on.

use super::Authenticated;
use crate::{
    ca::Order,
    pki::Csr,
    ra::{Error, FoundDevice, Requester, decide},
    store::Unmet,
};

impl Authenticated<'_> {
    /// Decides on a CSR whose key the server makes: what to issue for it. A token that was used is rejected
    /// now, unless this is a retry: no key is made for it.
    ///
    /// # Errors
    /// As [`decide()`].
    pub async fn order(&self, csr: &Csr, adapted: &[&'static str]) -> Result<Order, Error> {
        let device = self.find_device(csr).await?;
        let order = decide(self.policy, self.requester(&device, adapted), csr)?;
        let used = self.identity.token.as_ref().and_then(|token| token.consumed_by.clone());
        if let Some(serial) = used {
            let now = self.call.authority.now();
            let first = self.policy.ca.first_answer(&order.idempotency_key, now).await?;
            first.ok_or(Unmet::ConsumedToken(serial))?;
        }
        Ok(order)
    }

    pub(super) async fn find_device(&self, csr: &Csr) -> Result<FoundDevice, Error> {
        let authenticator = &self.call.authority.authenticator;
        authenticator.find_device(self.policy, self.identity, self.operation, csr).await
    }

    pub(super) fn requester<'b>(
        &'b self,
        device: &'b FoundDevice,
        adapted: &'b [&'static str],
    ) -> Requester<'b> {
        Requester {
            identity: self.identity,
            operation: self.operation,
            peer: self.call.peer,
            device,
            request_id: self.call.id,
            now: self.call.authority.now(),
            adapted,
        }
    }
}
