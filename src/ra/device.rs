//! The device of a request: found by what its client has proven, never by what it claims.

use super::{Authenticator, Error, Identity, Policy, Standing, is_ra, rules};
use crate::{
    pki::{Certificate, Csr, oid, san::Entry, sha256},
    policy::{DeviceMode, Proof},
    store::{Conditions, Device, DeviceStanding, Identifier},
    types::{DeviceId, Label, ManufacturerName, Operation, Rejection, SanKind, Time},
};
use std::collections::BTreeMap;

/// The proven identity of a device, and the registry's records of it.
#[derive(Clone, Debug, Default)]
pub struct FoundDevice {
    /// The device on the record of the certificate that it shows: succession keeps it.
    recorded: Option<DeviceId>,
    /// The device that its token is for.
    granted: Option<DeviceId>,
    /// Its other identifiers.
    identifiers: Vec<Identifier>,
    /// The registered devices that have any of these, each once.
    known: Vec<Device>,
}

/// A device, with its record if the registry has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct OneDevice<'a> {
    pub(super) id: &'a DeviceId,
    pub(super) record: Option<&'a Device>,
    /// Whether a token is for it.
    pub(super) is_granted: bool,
}

impl Authenticator {
    /// Finds the device of a client that requests a certificate by this CSR.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn find_device(
        &self,
        policy: &Policy,
        identity: &Identity,
        operation: Operation,
        csr: &Csr,
    ) -> Result<FoundDevice, Error> {
        let mut found = FoundDevice::of(policy, identity, operation, csr);
        if !found.identifiers.is_empty() {
            found.known = self.store.identified(&found.identifiers).await?;
        }
        for id in [found.recorded.clone(), found.granted.clone()].into_iter().flatten() {
            if !found.known.iter().any(|device| device.id == id) {
                found.known.extend(self.store.device(&id).await?);
            }
        }
        Ok(found)
    }
}

impl FoundDevice {
    /// Collects what the client has proven, before the registry is asked.
    fn of(policy: &Policy, identity: &Identity, operation: Operation, csr: &Csr) -> Self {
        let mut found = Self { granted: identity.granted_device().cloned(), ..Self::default() };
        // A registration authority requests certificates of other devices than its own.
        let renews = || rules::predecessor(policy, identity, operation, csr).is_some();
        let shown = identity.presented.as_ref().filter(|_| !is_ra(policy, identity) || renews());
        if let Some(shown) = shown {
            let certificate = &*shown.certificate;
            match &shown.standing {
                Standing::Ours(record) => found.recorded.clone_from(&record.intent.device),
                Standing::Manufacturers(_) => {
                    let accepted = identity.rights.proofs.iter().filter_map(|proof| match proof {
                        Proof::Manufacturer(name) => Some(name),
                        _ => None,
                    });
                    accepted.for_each(|name| found.add_idevid(name, certificate));
                }
                Standing::OursUnknown(_) => {}
            }
            // A registered id on record needs no other identifier.
            if found.recorded.as_ref().is_none_or(DeviceId::is_derived) {
                found.identifiers.push(Identifier::Key(sha256(certificate.spki())));
                let fingerprints = certificate.fingerprints().into_iter();
                found.identifiers.extend(fingerprints.map(|one| Identifier::Fingerprint(one.0)));
            }
        }
        // The signature of the CSR proves its key, unless the server makes another one.
        if operation != Operation::ServerKeyGen {
            found.identifiers.push(Identifier::Key(csr.key().spki_sha256()));
        }
        found
    }

    fn add_idevid(&mut self, manufacturer: &ManufacturerName, certificate: &Certificate) {
        let attributes = certificate.subject().rdns().flatten();
        for (_, text) in attributes.filter(|(kind, _)| *kind == oid::SERIAL_NUMBER) {
            let serial = text.map(str::to_owned);
            self.add(serial.map(|text| Identifier::SerialNumber(manufacturer.clone(), text)));
        }
        let Some(san) = certificate.san() else { return };
        for module in san.hardware_modules() {
            self.add(Some(Identifier::HardwareModule {
                manufacturer: manufacturer.clone(),
                hardware: module.kind.to_string(),
                serial: module.serial,
            }));
        }
        // The text of an otherName does not say all of it.
        let other = |entry: &&Entry| matches!(entry.kind, None | Some(SanKind::Other));
        for entry in san.entries().iter().filter(|entry| !other(entry)) {
            // Parsed, since names of DNS have no case.
            self.add(format!("san:{manufacturer}:{}", entry.text).parse().ok());
        }
    }

    /// Adds an identifier. One that the registry cannot write identifies nothing; the same one counts once.
    fn add(&mut self, identifier: Option<Identifier>) {
        let written = |one: &Identifier| one.to_string().parse().as_ref() == Ok(one);
        let new = |one: &Identifier| !self.identifiers.contains(one);
        let identifier = identifier.filter(|one| written(one) && new(one));
        self.identifiers.extend(identifier);
    }

    /// Returns the one device that everything proven belongs to, or none.
    ///
    /// # Errors
    /// Two devices.
    pub(super) fn one(&self) -> Result<Option<OneDevice<'_>>, [&DeviceId; 2]> {
        let record_of = |id: &DeviceId| self.known.iter().find(|device| device.id == *id);
        // An id that was derived before the device was registered gives way to the registered one.
        let recorded = self
            .recorded
            .as_ref()
            .filter(|id| !id.is_derived() || self.known.is_empty() || record_of(id).is_some());
        let granted = self.granted.as_ref();
        let all = recorded.into_iter().chain(granted).chain(self.known.iter().map(|one| &one.id));
        let mut first = None;
        for id in all {
            match first {
                Some(other) if other != id => return Err([other, id]),
                _ => first = Some(id),
            }
        }
        let is_granted = granted.is_some();
        Ok(first.map(|id| OneDevice { id, record: record_of(id), is_granted }))
    }

    /// Why it may neither enroll nor have a first answer again, if a device that it proves to be is blocked or
    /// retired.
    pub(super) fn barred(&self) -> Option<Rejection> {
        let found = self.known.iter().find(|one| one.standing != DeviceStanding::Enabled)?;
        Some(rules::device::standing(&found.id, found.standing))
    }

    /// The identifiers by which a manufacturer knows the device.
    fn of_manufacturer(&self) -> impl Iterator<Item = &Identifier> {
        self.identifiers.iter().filter(|one| {
            matches!(one, Identifier::SerialNumber(..) | Identifier::HardwareModule { .. })
        })
    }

    /// Derives an id from what a manufacturer says of the device; none without that.
    fn derived(&self, label: Option<&Label>) -> Option<DeviceId> {
        let mut all: Vec<String> = self.of_manufacturer().map(ToString::to_string).collect();
        all.sort();
        // A text of an identifier has no line break.
        (!all.is_empty()).then(|| DeviceId::derived(label, &sha256(all.join("\n").as_bytes())))
    }

    /// Shows what was proven.
    pub(super) fn shown(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        all.extend(self.recorded.iter().map(|id| format!("device {id}")));
        all.extend(self.granted.iter().map(|id| format!("a token of device {id}")));
        all.extend(self.identifiers.iter().map(ToString::to_string));
        if all.is_empty() { "nothing that identifies a device".to_owned() } else { all.join(", ") }
    }

    /// Returns the id of the device, and what must hold when its issuance is recorded. Without an id, that
    /// is derived from the serial number of the certificate. The rules must have passed.
    pub(super) fn conditions(&self, policy: &Policy, now: Time) -> (Option<DeviceId>, Conditions) {
        let (rules, label) = (&policy.rules.devices, policy.label.as_ref());
        let one = self.one().ok().flatten();
        let id = one.map(|one| one.id.clone()).or_else(|| self.derived(label));
        let is_known = one.is_some_and(|one| one.record.is_some());
        let register = (rules.mode == DeviceMode::JustInTime && !is_known).then(|| Device {
            id: id.clone().unwrap_or_else(|| DeviceId::derived(label, &[0; 32])),
            identifiers: self.of_manufacturer().cloned().collect(),
            labels: None,
            quota: None,
            from: None,
            until: None,
            tags: BTreeMap::new(),
            standing: DeviceStanding::Enabled,
            registered: now,
        });
        let conditions = Conditions {
            registered: rules.mode == DeviceMode::Registered || is_known,
            register,
            quota: rules.quota,
            own_key: rules.own_keys,
            lost: None,
        };
        (id, conditions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_that_cannot_be_written_identifies_nothing_and_one_counts_once() {
        let serial =
            |text: &str| Some(Identifier::SerialNumber("acme".parse().unwrap(), text.to_owned()));
        let mut found = FoundDevice::default();
        for text in ["press-7", "press-7", "a\0b", "", "press-8"] {
            found.add(serial(text));
        }
        let texts: Vec<String> = found.identifiers.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["serial:acme:press-7", "serial:acme:press-8"]);
    }
}
