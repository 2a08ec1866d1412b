//! The commit: writes a plan in one transaction and makes it durable.

use super::{
    super::{
        super::{Error, format},
        disk::{Disk, IMPORTS, STAGING, Trees, fitting},
        pages::key,
    },
    plan::BatchPlan,
};
use crate::failpoint::failpoint;
use ::sled::{IVec, Transactional, Tree, transaction::TransactionError};
use serde::Serialize;

/// Writes a finished plan durably.
pub(super) fn commit(plan: &BatchPlan, trees: &Trees, disk: &mut Disk) -> Result<(), String> {
    if plan.large {
        disk.expect_blobs();
    }
    let writes = writes(plan, trees).map_err(|error| error.to_string())?;
    // Such as an import whose first item is in conflict: sled takes no empty list of trees.
    if writes.is_empty() {
        return Ok(());
    }
    let used: Vec<&Tree> = writes.iter().map(|(tree, _)| *tree).collect();
    failpoint!("sled: before the transaction");
    used.transaction(|trees| {
        for (tree, (_, values)) in trees.iter().zip(&writes) {
            for (key, value) in values {
                match value {
                    Some(value) => tree.insert(key, value)?,
                    None => tree.remove(key)?,
                };
            }
        }
        Ok(())
    })
    .map_err(|error: TransactionError<()>| match error {
        TransactionError::Storage(error) => error.to_string(),
        TransactionError::Abort(()) => "the transaction was aborted".to_owned(),
    })?;
    failpoint!("sled: committed");
    disk.sync(&trees.db)
}

/// A key, and its value; none: it is removed.
type KeyWrite = (IVec, Option<IVec>);

/// The writes to each tree that has any.
fn writes<'a>(plan: &BatchPlan, trees: &'a Trees) -> Result<Vec<(&'a Tree, Vec<KeyWrite>)>, Error> {
    let put = |pairs: &[(IVec, IVec)]| -> Vec<KeyWrite> {
        pairs.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
    };
    let drops = |numbers: &[u64]| -> Vec<KeyWrite> {
        numbers.iter().map(|number| (key(*number), None)).collect()
    };
    let mut open = put(&plan.open.full);
    open.extend(drops(&plan.open_drops));
    let mut recent = put(&plan.recent.full);
    recent.extend(drops(&plan.recent_drops));
    let mut events = put(&plan.events.full);
    events.extend(plan.others.values().flat_map(|pages| put(&pages.full)));
    let registers = plan.registers.iter();
    let registers = registers.map(|(name, value)| (name.as_bytes().into(), Some(value.clone())));
    let accounts = plan.accounts.iter();
    let accounts = accounts.map(|(name, value)| (name.as_bytes().into(), value.clone()));
    let mut devices = Vec::new();
    for (id, device) in &plan.devices {
        devices.push((id.as_str().into(), device.as_ref().map(value_of).transpose()?));
    }
    // In the order of the keys, in which inserts are fastest.
    devices.sort();
    let mut identifiers = Vec::new();
    for (identifier, owner) in &plan.identifiers {
        let key = identifier.to_string();
        identifiers.push((key.as_str().into(), owner.as_ref().map(value_of).transpose()?));
    }
    identifiers.sort();
    let mut tokens = Vec::new();
    for (id, token) in &plan.tokens {
        tokens.push((IVec::from(&id.0), Some(value_of(token)?)));
    }
    let barred = plan.barred.iter();
    let barred = barred.map(|(id, barred)| (id.as_str().into(), barred.then(IVec::default)));
    let mut staging: Vec<KeyWrite> = Vec::new();
    if let Some(now) = &plan.staging {
        staging.push((STAGING.into(), now.as_ref().map(value_of).transpose()?));
    }
    if let Some(number) = plan.imports {
        staging.push((IMPORTS.into(), Some(value_of(&number)?)));
    }
    let all = [
        (&trees.certificates, put(&plan.certificates)),
        (&trees.open, open),
        (&trees.recent, recent),
        (&trees.events, events),
        (&trees.accounts, accounts.collect()),
        (&trees.registers, registers.collect()),
        (&trees.devices, devices),
        (&trees.identifiers, identifiers),
        (&trees.barred, barred.collect()),
        (&trees.staging, staging),
        (&trees.tokens, tokens),
        (&trees.index, put(&plan.index.full)),
    ];
    Ok(all.into_iter().filter(|(_, values)| !values.is_empty()).collect())
}

fn value_of(value: &impl Serialize) -> Result<IVec, Error> {
    fitting(format::record(value)?).map(IVec::from)
}
