//! The commit: writes a plan in one transaction and makes it durable.

use super::{
    super::{
        disk::{Disk, Trees},
        pages::key,
    },
    plan::BatchPlan,
};
use crate::failpoint::failpoint;
use ::sled::{Transactional, transaction::TransactionError};

/// Writes a finished plan durably.
pub(super) fn commit(plan: &BatchPlan, trees: &Trees, disk: &mut Disk) -> Result<(), String> {
    if plan.large {
        disk.expect_blobs();
    }
    let all = (
        &trees.certificates,
        &trees.open,
        &trees.recent,
        &trees.events,
        &trees.accounts,
        &trees.registers,
    );
    failpoint!("sled: before the transaction");
    all.transaction(|(certificates, open, recent, events, accounts, registers)| {
        let inserts = [
            (certificates, &plan.certificates),
            (open, &plan.open.full),
            (recent, &plan.recent.full),
            (events, &plan.events.full),
        ];
        for (tree, values) in inserts {
            for (key, value) in values {
                tree.insert(key, value)?;
            }
        }
        for (tree, drops) in [(open, &plan.open_drops), (recent, &plan.recent_drops)] {
            for page in drops {
                tree.remove(key(*page))?;
            }
        }
        for (key, page) in plan.others.values().flat_map(|pages| &pages.full) {
            events.insert(key, page)?;
        }
        for (name, value) in &plan.registers {
            registers.insert(name.as_bytes(), value)?;
        }
        for (name, value) in &plan.accounts {
            match value {
                Some(value) => accounts.insert(name.as_bytes(), value)?,
                None => accounts.remove(name.as_bytes())?,
            };
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
