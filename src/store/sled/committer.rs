//! The one thread that changes the database.

use super::{
    super::{
        Account, Begun, Error, Intent, Issuance, RequestKey, State,
        ledger::{Requests, issued, voided, wrong_state},
    },
    Shared, format, unavailable,
};
use crate::{
    telemetry::audit::{Event, Trail},
    types::{Serial, Time},
};
use serde::{Deserialize, Serialize};
use sled::{Transactional, transaction::TransactionError};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::File,
    sync::{Arc, PoisonError},
};
use tokio::sync::{mpsc, oneshot};

/// Changes in one transaction at most: more at once cost sled memory (measured).
const BATCH: usize = 512;

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A change that somebody waits for.
pub(super) enum Command {
    Begin(Box<Intent>, Reply<Begun>),
    Complete { serial: Serial, certificate: Vec<u8>, event: Event, reply: Reply<Arc<Issuance>> },
    Void { serial: Serial, event: Event, reply: Reply<()> },
    AddAccount { account: Account, event: Event, reply: Reply<()> },
    RemoveAccount { name: String, event: Event, reply: Reply<()> },
    Append { event: Event, reply: Reply<()> },
    Close(oneshot::Sender<()>),
}

/// A request that was completed, as the tree `recent` holds it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Completed {
    pub(super) key: RequestKey,
    pub(super) serial: Serial,
    pub(super) until: Time,
}

/// Which batches of `recent` to remove when.
#[derive(Default)]
pub(super) struct Recent(BTreeSet<(Time, u64)>);

impl Recent {
    /// Keeps a batch until the last of its windows has ended.
    pub(super) fn remember(&mut self, batch: u64, completed: &[Completed]) {
        let until = completed.iter().map(|one| one.until).max();
        self.0.insert((until.unwrap_or(Time::from_unix(0)), batch));
    }

    /// Takes a batch out whose windows have all ended.
    fn over(&mut self, now: Time) -> Option<u64> {
        let first = self.0.first().copied().filter(|(until, _)| *until <= now)?;
        self.0.remove(&first);
        Some(first.1)
    }
}

pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) file: File,
    pub(super) trail: Arc<dyn Trail>,
    pub(super) requests: Requests,
    /// The open issuances of each batch in the tree `open`.
    pub(super) batches: BTreeMap<u64, BTreeSet<Serial>>,
    pub(super) batch_of: HashMap<Serial, u64>,
    pub(super) recent: Recent,
    pub(super) next_batch: u64,
    pub(super) next_event: u64,
    /// Why nothing is written any more. After a failed write or sync nobody knows what is on the
    /// disk and what is not, so nothing is promised until a restart has looked.
    pub(super) broken: Option<String>,
}

/// What a batch writes, and whom it answers when that is durable.
#[derive(Default)]
struct Batch {
    begun: Vec<Arc<Issuance>>,
    ended: Vec<Arc<Issuance>>,
    ended_now: HashMap<Serial, Arc<Issuance>>,
    /// Batches of `open` and `recent` that are not needed any more.
    open_over: Vec<u64>,
    recent_over: Vec<u64>,
    accounts: BTreeMap<String, Option<Account>>,
    events: Vec<Event>,
    answers: Vec<Answer>,
}

enum Answer {
    Begun(Reply<Begun>, Result<Begun, Error>),
    Issuance(Reply<Arc<Issuance>>, Result<Arc<Issuance>, Error>),
    Nothing(Reply<()>, Result<(), Error>),
}

impl Answer {
    /// Whoever does not wait any more misses nothing: what was asked is on record.
    fn send(self) {
        match self {
            Self::Begun(reply, outcome) => drop(reply.send(outcome)),
            Self::Issuance(reply, outcome) => drop(reply.send(outcome)),
            Self::Nothing(reply, outcome) => drop(reply.send(outcome)),
        }
    }

    fn fail(self, fault: &str) -> Self {
        let unavailable = || Error::Unavailable(fault.to_owned());
        match self {
            Self::Begun(reply, _) => Self::Begun(reply, Err(unavailable())),
            Self::Issuance(reply, _) => Self::Issuance(reply, Err(unavailable())),
            Self::Nothing(reply, _) => Self::Nothing(reply, Err(unavailable())),
        }
    }
}

impl Committer {
    /// Commits until told to close, or until nobody can ask any more.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let mut batch = Batch::default();
            let mut close = self.take(first, &mut batch);
            while close.is_none() && batch.answers.len() < BATCH {
                match commands.try_recv() {
                    Ok(command) => close = self.take(command, &mut batch),
                    Err(_) => break,
                }
            }
            self.commit(batch);
            if let Some(reply) = close {
                commands.close();
                drop(self);
                // Whoever closes may have gone.
                let _ = reply.send(());
                return;
            }
        }
    }

    /// Takes one change into the batch.
    fn take(&mut self, command: Command, batch: &mut Batch) -> Option<oneshot::Sender<()>> {
        let answer = match command {
            Command::Begin(intent, reply) => Answer::Begun(reply, self.begin(*intent, batch)),
            Command::Complete { serial, certificate, event, reply } => {
                Answer::Issuance(reply, self.complete(&serial, certificate, event, batch))
            }
            Command::Void { serial, event, reply } => {
                Answer::Nothing(reply, self.void(&serial, event, batch))
            }
            Command::AddAccount { account, event, reply } => {
                Answer::Nothing(reply, self.add_account(account, event, batch))
            }
            Command::RemoveAccount { name, event, reply } => {
                Answer::Nothing(reply, self.remove_account(name, event, batch))
            }
            Command::Append { event, reply } => {
                batch.events.push(event);
                Answer::Nothing(reply, Ok(()))
            }
            Command::Close(reply) => return Some(reply),
        };
        batch.answers.push(answer);
        None
    }

    fn begin(&mut self, intent: Intent, batch: &mut Batch) -> Result<Begun, Error> {
        self.requests.forget(intent.begun);
        while let Some(over) = self.recent.over(intent.begun) {
            batch.recent_over.push(over);
        }
        if let Some(serial) = self.requests.earlier(&intent.request_key, intent.begun).cloned()
            && let Some(earlier) = self.find(&serial, batch)?
        {
            return Ok(match earlier.state {
                State::Open => Begun::Open(earlier),
                State::Issued | State::Void => Begun::Complete(earlier),
            });
        }
        if self.find(&intent.serial, batch)?.is_some() {
            return Err(Error::SerialTaken(intent.serial));
        }
        self.requests.insert(intent.request_key, intent.serial.clone(), intent.repeat_until);
        batch.begun.push(Arc::new(intent.into()));
        Ok(Begun::New)
    }

    fn complete(
        &mut self,
        serial: &Serial,
        certificate: Vec<u8>,
        event: Event,
        batch: &mut Batch,
    ) -> Result<Arc<Issuance>, Error> {
        match self.find(serial, batch)? {
            Some(found) if found.state == State::Open => {
                let done = Arc::new(issued(&found, certificate, event.at));
                self.end(Arc::clone(&done), event, batch);
                Ok(done)
            }
            Some(found) if found.state == State::Issued => Ok(found),
            found => Err(wrong_state(serial, found.as_deref())),
        }
    }

    fn void(&mut self, serial: &Serial, event: Event, batch: &mut Batch) -> Result<(), Error> {
        match self.find(serial, batch)? {
            Some(found) if found.state == State::Open => {
                self.requests.remove(&found.intent.request_key, serial);
                self.end(Arc::new(voided(&found, event.at)), event, batch);
                Ok(())
            }
            Some(found) if found.state == State::Void => Ok(()),
            found => Err(wrong_state(serial, found.as_deref())),
        }
    }

    fn end(&mut self, done: Arc<Issuance>, event: Event, batch: &mut Batch) {
        let serial = done.intent.serial.clone();
        if let Some(number) = self.batch_of.remove(&serial)
            && let Some(left) = self.batches.get_mut(&number)
        {
            left.remove(&serial);
            if left.is_empty() {
                self.batches.remove(&number);
                batch.open_over.push(number);
            }
        }
        batch.ended_now.insert(serial, Arc::clone(&done));
        batch.ended.push(done);
        batch.events.push(event);
    }

    fn add_account(&self, account: Account, event: Event, batch: &mut Batch) -> Result<(), Error> {
        if self.has_account(&account.name, batch)? {
            return Err(Error::AccountExists(account.name));
        }
        batch.accounts.insert(account.name.clone(), Some(account));
        batch.events.push(event);
        Ok(())
    }

    fn remove_account(&self, name: String, event: Event, batch: &mut Batch) -> Result<(), Error> {
        if !self.has_account(&name, batch)? {
            return Err(Error::NoSuchAccount(name));
        }
        batch.accounts.insert(name, None);
        batch.events.push(event);
        Ok(())
    }

    fn has_account(&self, name: &str, batch: &Batch) -> Result<bool, Error> {
        match batch.accounts.get(name) {
            Some(change) => Ok(change.is_some()),
            None => self.shared.accounts.contains_key(name).map_err(unavailable),
        }
    }

    /// As the store will be when this batch is committed.
    fn find(&self, serial: &Serial, batch: &Batch) -> Result<Option<Arc<Issuance>>, Error> {
        if let Some(found) = batch.ended_now.get(serial) {
            return Ok(Some(Arc::clone(found)));
        }
        // Few: a batch has at most 512.
        if let Some(found) = batch.begun.iter().find(|one| one.intent.serial == *serial) {
            return Ok(Some(Arc::clone(found)));
        }
        self.shared.find(serial)
    }

    fn commit(&mut self, mut batch: Batch) {
        let outcome = match &self.broken {
            Some(fault) => Err(Error::Unavailable(fault.clone())),
            None => self.write(&batch),
        };
        if let Err(fault) = outcome {
            let fault = fault.to_string();
            if self.broken.is_none() {
                tracing::error!(
                    "the store cannot write: {fault}; remedy: make room on the disk or repair it, then restart estd"
                );
                self.broken = Some(format!("{fault}; restart estd when the disk is in order"));
            }
            batch.answers.into_iter().for_each(|answer| answer.fail(&fault).send());
            return;
        }
        {
            let mut open = self.shared.open_now.write().unwrap_or_else(PoisonError::into_inner);
            for begun in &batch.begun {
                open.insert(begun.intent.serial.clone(), Arc::clone(begun));
            }
            for ended in &batch.ended {
                open.remove(&ended.intent.serial);
            }
        }
        for event in &batch.events {
            self.trail.tell(Some(self.next_event), event);
            self.next_event = self.next_event.saturating_add(1);
        }
        std::mem::take(&mut batch.answers).into_iter().for_each(Answer::send);
    }

    /// Makes the batch durable: one transaction, sled's flush, and the fdatasync that it lacks.
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let nothing = batch.begun.is_empty()
            && batch.ended.is_empty()
            && batch.events.is_empty()
            && batch.open_over.is_empty()
            && batch.recent_over.is_empty();
        if nothing {
            return Ok(());
        }
        let number = self.next_batch;
        self.next_batch = self.next_batch.saturating_add(1);
        let begun: Vec<&Intent> = batch.begun.iter().map(|one| &one.intent).collect();
        let begun_octets = format::encode(&begun)?;
        let ended = batch
            .ended
            .iter()
            .map(|one| Ok((one.intent.serial.as_bytes(), format::encode(&**one)?)));
        let ended = ended.collect::<Result<Vec<_>, Error>>()?;
        let completed: Vec<Completed> = batch
            .ended
            .iter()
            .filter(|one| one.state == State::Issued)
            .map(|one| Completed {
                key: one.intent.request_key,
                serial: one.intent.serial.clone(),
                until: one.intent.repeat_until,
            })
            .collect();
        let completed_octets = format::encode(&completed)?;
        let events = format::encode(&batch.events)?;
        let accounts = batch.accounts.iter().map(|(name, account)| {
            Ok((name.as_bytes(), account.as_ref().map(format::encode).transpose()?))
        });
        let accounts = accounts.collect::<Result<Vec<_>, Error>>()?;
        let over: HashSet<u64> = batch.recent_over.iter().copied().collect();

        let key = number.to_be_bytes();
        let trees = (
            &self.shared.certificates,
            &self.shared.open,
            &self.shared.recent,
            &self.shared.events,
            &self.shared.accounts,
        );
        trees
            .transaction(|(certificates, open, recent, log, users)| {
                for (serial, octets) in &ended {
                    certificates.insert(*serial, octets.as_slice())?;
                }
                if !batch.begun.is_empty() {
                    open.insert(&key, begun_octets.as_slice())?;
                }
                for over in &batch.open_over {
                    open.remove(&over.to_be_bytes())?;
                }
                if !completed.is_empty() {
                    recent.insert(&key, completed_octets.as_slice())?;
                }
                for over in &over {
                    recent.remove(&over.to_be_bytes())?;
                }
                if !batch.events.is_empty() {
                    log.insert(&self.next_event.to_be_bytes(), events.as_slice())?;
                }
                for (name, account) in &accounts {
                    match account {
                        Some(octets) => users.insert(*name, octets.as_slice())?,
                        None => users.remove(*name)?,
                    };
                }
                Ok(())
            })
            .map_err(|fault: TransactionError<()>| match fault {
                TransactionError::Storage(fault) => unavailable(fault),
                TransactionError::Abort(()) => {
                    Error::Unavailable("a transaction was given up".to_owned())
                }
            })?;
        self.shared.db.flush().map_err(unavailable)?;
        self.file.sync_data().map_err(|fault| Error::Unavailable(format!("fdatasync: {fault}")))?;

        if !batch.begun.is_empty() {
            self.batches
                .insert(number, batch.begun.iter().map(|one| one.intent.serial.clone()).collect());
            for one in &batch.begun {
                self.batch_of.insert(one.intent.serial.clone(), number);
            }
        }
        if !completed.is_empty() {
            self.recent.remember(number, &completed);
        }
        Ok(())
    }
}
