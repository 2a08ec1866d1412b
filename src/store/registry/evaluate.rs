//! Whether the conditions of an issuance hold: the same in all stores.

use super::{Conditions, Device, DeviceStanding, Token, Unmet};
use crate::{
    store::Intent,
    types::{DeviceId, Serial},
};

/// Facts that a store knows of the token, device and key of an intent, in the step that records it.
#[derive(Debug, Default)]
pub(in crate::store) struct KnownFacts {
    /// The token of the intent.
    pub(in crate::store) token: Option<Token>,
    /// The registered device of the intent.
    pub(in crate::store) device: Option<Device>,
    /// How many certificates of the device count for its quota; looked at if [`Conditions::quota`] says so.
    pub(in crate::store) valid: u32,
    /// A certificate of the key that belongs to another device; looked at if [`Conditions::own_key`].
    pub(in crate::store) other: Option<(Option<DeviceId>, Serial)>,
}

/// Changes that are recorded together with the intent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Effects {
    /// The token, consumed.
    pub(in crate::store) token: Option<Token>,
    /// The device to register.
    pub(in crate::store) device: Option<Device>,
}

impl Conditions {
    /// Whether an intent has no conditions at all: nothing of the registry is looked at. A caller that found
    /// the record of a derived device demands it by [`Conditions::registered`].
    pub(in crate::store) fn is_free(&self, intent: &Intent) -> bool {
        intent.token.is_none()
            && intent.device.as_ref().is_none_or(DeviceId::is_derived)
            && *self == Self::default()
    }

    /// The quota of the device, if there is one.
    pub(in crate::store) fn quota(&self, device: Option<&Device>) -> Option<u32> {
        device.and_then(|device| device.quota).or(self.quota)
    }

    /// Evaluates the conditions.
    ///
    /// # Errors
    /// The first that does not hold.
    pub(in crate::store) fn evaluate(
        &self,
        intent: &Intent,
        facts: KnownFacts,
    ) -> Result<Effects, Unmet> {
        let KnownFacts { token, device, valid, other } = facts;
        let token = self.consume(intent, token)?;
        self.check_device(intent, device.as_ref())?;
        if self.own_key
            && let Some((device, serial)) = other
        {
            return Err(Unmet::Key { device, serial });
        }
        let known = device.as_ref().or(self.register.as_ref());
        if intent.device.is_some()
            && let Some(quota) = self.quota(known)
            && valid >= quota
        {
            return Err(Unmet::Quota { quota, valid });
        }
        let register = if device.is_none() { self.register.clone() } else { None };
        Ok(Effects { token, device: register })
    }

    fn consume(&self, intent: &Intent, token: Option<Token>) -> Result<Option<Token>, Unmet> {
        let Some(id) = intent.token else { return Ok(None) };
        let Some(mut token) = token else { return Err(Unmet::UnknownToken(id)) };
        if let Some(serial) = &token.consumed_by {
            if self.lost.as_ref() != Some(serial) || token.reissued {
                return Err(Unmet::ConsumedToken(serial.clone()));
            }
            token.reissued = true;
        }
        if token.disabled {
            return Err(Unmet::DisabledToken);
        }
        if token.expires <= intent.begun {
            return Err(Unmet::ExpiredToken(token.expires));
        }
        token.consumed_by = Some(intent.serial.clone());
        Ok(Some(token))
    }

    fn check_device(&self, intent: &Intent, device: Option<&Device>) -> Result<(), Unmet> {
        let Some(device) = device.or(self.register.as_ref()) else {
            return match self.registered {
                true => Err(Unmet::UnknownDevice(intent.device.clone())),
                false => Ok(()),
            };
        };
        if device.standing != DeviceStanding::Enabled {
            return Err(Unmet::Standing(device.id.clone(), device.standing));
        }
        let (from, until) = (device.from, device.until);
        let begun = intent.begun;
        if from.is_some_and(|from| begun < from) || until.is_some_and(|until| begun >= until) {
            return Err(Unmet::Window { from, until });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_derived_device_without_a_record_has_no_conditions() {
        let intent = |device: Option<DeviceId>| Intent {
            device,
            ..Intent::blank(
                Serial::parse(&[1]).unwrap(),
                "default".parse().unwrap(),
                "device".parse().unwrap(),
            )
        };
        let derived = intent(Some(DeviceId::derived(None, &[7; 32])));
        let free = Conditions::default();
        assert!(free.is_free(&intent(None)) && free.is_free(&derived));
        assert!(!free.is_free(&intent(Some("press-7".parse().unwrap()))));
        assert!(!Conditions { registered: true, ..free.clone() }.is_free(&derived));
        assert!(!Conditions { quota: Some(1), ..free }.is_free(&derived));
    }
}
