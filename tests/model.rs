//! Model of the states of an issuance (docs/design/issuance.md): two nodes share one store. Nodes
//! crash, replies are lost, time passes and configurations change; every order of steps is explored.
//!
//! Three parts: the properties hold; each planted error breaks one; the real stores answer every
//! call as the model's store does, so the model describes this code.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test stops at the first surprise and prints statistics"
)]

use estd::{
    store::{
        Begun, Conditions, Error, Filter, IdempotencyKey, Intent, Issuances, MemoryStore,
        Revocation, SledStore, State, Store,
    },
    telemetry::audit::{Event, Name, NoTrail},
    types::{Actor, Operation, RequestId, RevocationReason, Serial, Time},
};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Ticks for which a retry gets the first answer; then the certificate is due for renewal.
const WINDOW: u8 = 1;

/// First idempotency key of retries; the keys below it belong to the devices.
const FIRST_RETRY_KEY: u8 = 2;

/// The device that renews when its certificate is due, with the same idempotency key.
const RENEWS: usize = 0;

/// Bounds of the search, which is exhaustive within them.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    devices: usize,
    /// The server generates the keys (RFC 7030 §4.4).
    generated_keys: bool,
    /// The last tick.
    last: u8,
    /// Ticks after which a sweep processes an open record.
    grace: u8,
    /// Nodes that die.
    crashes: u8,
    /// Lost replies of the store, lost answers to devices, failed calls of the store, and serial
    /// numbers drawn twice.
    losses: u8,
    /// Nodes whose CA is replaced by another.
    moves: u8,
    /// Certificates that an operator revokes.
    revocations: u8,
}

/// Implementation errors that the properties must detect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlantedError {
    /// The certificate is sent before it is stored.
    AnswersBeforeComplete,
    /// The node sends the certificate that it signed, not the one on record.
    AnswersItsOwn,
    /// `begin` reads and then writes.
    BeginInTwoSteps,
    /// After a lost reply, `begin` is called anew without checking whether it was applied.
    BeginsAfresh,
    /// `begin` overwrites a record with the same serial number.
    SerialReused,
    /// A retry signs its own intent, not the one on record.
    SignsUnrecorded,
    /// A request counts as a retry forever.
    WindowNeverEnds,
    /// `complete` replaces the certificate of an issued record.
    CompleteOverwrites,
    /// `complete` turns a void record into an issued one.
    CompleteRevives,
    /// `void` leaves the idempotency key pointing at the void record.
    SlotKeptOnVoid,
    /// `void` frees the idempotency key even if it points at another record by now.
    VoidFreesAnySlot,
    /// `void` does not check that the record is still open.
    VoidUnchecked,
    /// `revoke` leaves the idempotency key pointing at the revoked record.
    SlotKeptOnRevoke,
    /// `complete` returns a revoked record's certificate as if it were issued.
    CompleteReturnsRevoked,
    /// No sweep processes open records.
    NoSweep,
    /// A retry with a newly generated key continues with the record it finds.
    FinishesOtherKey,
    /// A sweep voids a generated key's record while retries of it are still answered.
    VoidsWithinTheWindow,
    /// A retry names only the record found last, not the certificate before an open one.
    NamesTheLastOnly,
}

/// Situations that the search must reach; otherwise the properties hold vacuously.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Situation {
    RetryFindsOpen,
    RetryFindsComplete,
    RetryFindsOtherCa,
    BeginAgainAfterLostReply,
    CompleteAgainAfterLostReply,
    SecondCompleteGetsTheFirst,
    CompleteAfterVoid,
    VoidAfterComplete,
    SerialRejected,
    SweepFinishes,
    SweepVoids,
    SweepIsLate,
    RenewalIsNew,
    LateBeginFindsTheFirst,
    CompleteAfterRevoke,
    RevokedIsRequestedAgain,
    GeneratedKeyAfterOpen,
    GeneratedKeyAfterIssued,
    GeneratedKeyAfterIssuedAndOpen,
    GeneratedKeyIsVoided,
}

const SITUATIONS: [Situation; 20] = [
    Situation::RetryFindsOpen,
    Situation::RetryFindsComplete,
    Situation::RetryFindsOtherCa,
    Situation::BeginAgainAfterLostReply,
    Situation::CompleteAgainAfterLostReply,
    Situation::SecondCompleteGetsTheFirst,
    Situation::CompleteAfterVoid,
    Situation::VoidAfterComplete,
    Situation::SerialRejected,
    Situation::SweepFinishes,
    Situation::SweepVoids,
    Situation::SweepIsLate,
    Situation::RenewalIsNew,
    Situation::LateBeginFindsTheFirst,
    Situation::CompleteAfterRevoke,
    Situation::RevokedIsRequestedAgain,
    Situation::GeneratedKeyAfterOpen,
    Situation::GeneratedKeyAfterIssued,
    Situation::GeneratedKeyAfterIssuedAndOpen,
    Situation::GeneratedKeyIsVoided,
];

/// Two signatures over the same bytes differ: `signature` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Certificate {
    serial: u8,
    signature: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RecordState {
    Open,
    Issued(Certificate),
    Void,
    Revoked(Certificate),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Record {
    key: u8,
    ca: u8,
    begun: u8,
    until: u8,
    state: RecordState,
    /// When the store wrote it, by the wall clock: for the properties only.
    taken: u8,
    /// The earlier records its event names as `retry_of`, if the server generates keys. For the
    /// properties only.
    retry_of: Serials,
}

/// A set of serial numbers, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct Serials(u16);

impl Serials {
    const fn with(self, serial: u8) -> Self {
        Self(self.0 | 1 << serial)
    }

    const fn has(self, serial: u8) -> bool {
        self.0 & 1 << serial != 0
    }
}

/// The store: each method is one atomic step. It guarantees no more than [`Store`] does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct ModelStore {
    /// By serial number.
    records: Vec<Record>,
    /// By idempotency key: the record and the end of its window.
    slots: BTreeMap<u8, (u8, u8)>,
}

/// A call of the store; the real stores receive the same calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Begin { serial: u8, key: u8, ca: u8, begun: u8, until: u8 },
    Complete(Certificate),
    Void { serial: u8 },
    Revoke { serial: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    New,
    Open { serial: u8 },
    Complete { serial: u8 },
    SerialTaken,
    Recorded(Certificate),
    Voided,
    Revoked(Certificate),
    WrongState(RecordState),
}

impl ModelStore {
    fn call(&mut self, call: Call, now: u8, errors: &[PlantedError]) -> Answer {
        let planted = |error| errors.contains(&error);
        match call {
            Call::Begin { serial, key, ca, begun, until } => {
                // A slot outlives its window: a request that arrived in time may be late here.
                let live = |until| begun < until || planted(PlantedError::WindowNeverEnds);
                if let Some((first, _)) =
                    self.slots.get(&key).copied().filter(|(_, until)| live(*until))
                {
                    return match self.records[usize::from(first)].state {
                        RecordState::Open => Answer::Open { serial: first },
                        RecordState::Issued(_) | RecordState::Void | RecordState::Revoked(_) => {
                            Answer::Complete { serial: first }
                        }
                    };
                }
                if usize::from(serial) < self.records.len() && !planted(PlantedError::SerialReused)
                {
                    return Answer::SerialTaken;
                }
                self.write(serial, key, ca, begun..until, now);
                Answer::New
            }
            Call::Complete(certificate) => {
                let record = &mut self.records[usize::from(certificate.serial)];
                let allowed = match record.state {
                    RecordState::Open => true,
                    RecordState::Issued(_) => planted(PlantedError::CompleteOverwrites),
                    RecordState::Void => planted(PlantedError::CompleteRevives),
                    RecordState::Revoked(_) => false,
                };
                if allowed {
                    record.state = RecordState::Issued(certificate);
                }
                match record.state {
                    RecordState::Issued(first) => Answer::Recorded(first),
                    RecordState::Revoked(first)
                        if planted(PlantedError::CompleteReturnsRevoked) =>
                    {
                        Answer::Recorded(first)
                    }
                    other => Answer::WrongState(other),
                }
            }
            Call::Void { serial } => {
                let record = &mut self.records[usize::from(serial)];
                if let RecordState::Issued(_) | RecordState::Revoked(_) = record.state
                    && !planted(PlantedError::VoidUnchecked)
                {
                    return Answer::WrongState(record.state);
                }
                let slot = self.slots.get(&record.key);
                let its_own = slot.is_some_and(|(first, _)| *first == serial);
                if planted(PlantedError::VoidFreesAnySlot)
                    || (its_own && !planted(PlantedError::SlotKeptOnVoid))
                {
                    self.slots.remove(&record.key);
                }
                record.state = RecordState::Void;
                Answer::Voided
            }
            Call::Revoke { serial } => {
                let record = &mut self.records[usize::from(serial)];
                let certificate = match record.state {
                    RecordState::Issued(certificate) | RecordState::Revoked(certificate) => {
                        certificate
                    }
                    other => return Answer::WrongState(other),
                };
                record.state = RecordState::Revoked(certificate);
                let slot = self.slots.get(&record.key);
                let its_own = slot.is_some_and(|(first, _)| *first == serial);
                if its_own && !planted(PlantedError::SlotKeptOnRevoke) {
                    self.slots.remove(&record.key);
                }
                Answer::Revoked(certificate)
            }
        }
    }

    fn write(&mut self, serial: u8, key: u8, ca: u8, window: Range<u8>, now: u8) {
        let Range { start: begun, end: until } = window;
        self.slots.insert(key, (serial, until));
        let (state, retry_of) = (RecordState::Open, Serials::default());
        let record = Record { key, ca, begun, until, state, taken: now, retry_of };
        match self.records.get_mut(usize::from(serial)) {
            Some(old) => *old = record,
            None => self.records.push(record),
        }
    }

    fn fresh(&self) -> u8 {
        self.records.len() as u8
    }

    /// The idempotency key of a retry of this record, if each retry gets a newly generated key.
    /// Each record has one such key, so its number identifies it.
    const fn retry_key(serial: u8) -> u8 {
        FIRST_RETRY_KEY + serial
    }

    /// Follows retries back to the key of the first request.
    fn request_of(&self, key: u8) -> u8 {
        match key.checked_sub(FIRST_RETRY_KEY) {
            None => key,
            Some(earlier) => self.request_of(self.records[usize::from(earlier)].key),
        }
    }
}

/// The next step of a node for one request, or for one record in a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    /// `tried`: the serial number of the call whose reply was lost.
    Begin {
        begun: u8,
        /// The end of its window.
        until: u8,
        tried: Option<u8>,
    },
    /// Only with a planted error: writes the record without checking.
    Write {
        begun: u8,
    },
    /// Already signed: signing has no visible effect, so a crash before it and one after it lead
    /// to the same state. It is therefore one step with its predecessor.
    Complete {
        certificate: Certificate,
    },
    Void {
        serial: u8,
    },
    Answer {
        certificate: Certificate,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Task {
    node: u8,
    /// The device waiting for the answer; none in a sweep, or if the device hung up.
    device: Option<u8>,
    sweep: bool,
    key: u8,
    /// The CA of its node when it started: a reload does not change it.
    ca: u8,
    /// The record that it began for the key it generated.
    own: Option<u8>,
    /// The earlier records its event will name as `retry_of`.
    retry_of: Serials,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mood {
    Asks,
    Waits,
    Served,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Device {
    mood: Mood,
    /// Its certificates, the oldest first.
    held: Vec<Certificate>,
}

/// A violation that no later state shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Broken {
    SerialUsedTwice,
    SignedUnrecorded,
    AnsweredNothing,
    ReturnedRevoked,
    KeyOfAnother,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    now: u8,
    store: ModelStore,
    /// The CA of each node.
    nodes: [u8; 2],
    devices: Vec<Device>,
    /// Sorted: their order means nothing.
    tasks: Vec<Task>,
    crashes: u8,
    losses: u8,
    moves: u8,
    revocations: u8,
    broken: Option<Broken>,
}

/// How a call of the store ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Applied, and the node receives the reply.
    Received,
    /// Applied, but the reply is lost; the node calls again.
    Lost,
    /// Not applied; the node receives an error.
    Failed,
    /// `begin` with a serial number that another record has.
    Collides,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Send {
        device: u8,
        node: u8,
    },
    Do(Task, Outcome),
    /// The device hangs up, or the answer to it is lost; the node continues its work.
    HangUp(Task),
    Sweep {
        node: u8,
        serial: u8,
    },
    /// The node dies with all its tasks and restarts at once: a longer outage equals a node that
    /// takes no step.
    Crash {
        node: u8,
    },
    /// The node's first CA is replaced by the second.
    Move {
        node: u8,
    },
    /// An operator revokes a certificate.
    Revoke {
        serial: u8,
    },
    Tick,
}

struct Issuing {
    bounds: Bounds,
    errors: Vec<PlantedError>,
    seen: Arc<[AtomicU64; SITUATIONS.len()]>,
}

type Calls = Vec<(Call, Answer)>;

impl Issuing {
    fn new(bounds: Bounds, errors: &[PlantedError]) -> Self {
        Self { bounds, errors: errors.to_vec(), seen: Arc::default() }
    }

    fn planted(&self, error: PlantedError) -> bool {
        self.errors.contains(&error)
    }

    fn saw(&self, situation: Situation) {
        self.seen[situation as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the actions that need neither an error nor the clock.
    fn progress(&self, world: &World, actions: &mut Vec<Action>) {
        for task in &world.tasks {
            actions.push(Action::Do(*task, Outcome::Received));
        }
        for id in 0..2 {
            for (device, state) in (0..).zip(&world.devices) {
                if state.mood == Mood::Asks || Self::due(world, usize::from(device)) {
                    actions.push(Action::Send { device, node: id });
                }
            }
            let sweeping = world.tasks.iter().any(|task| task.sweep && task.node == id);
            if !sweeping && !self.planted(PlantedError::NoSweep) {
                for (serial, record) in (0..).zip(&world.store.records) {
                    if self.aged(world, record) {
                        actions.push(Action::Sweep { node: id, serial });
                    }
                }
            }
        }
    }

    fn due(world: &World, device: usize) -> bool {
        let state = &world.devices[device];
        device == RENEWS
            && state.mood == Mood::Served
            && state.held.len() == 1
            && world
                .store
                .records
                .get(usize::from(state.held[0].serial))
                .is_some_and(|record| record.until <= world.now)
    }

    /// Whether a sweep processes a record. A generated key's record stays while its retries are
    /// answered: they find later records through it.
    fn aged(&self, world: &World, record: &Record) -> bool {
        let stays = self.bounds.generated_keys && !self.planted(PlantedError::VoidsWithinTheWindow);
        let since = if stays { record.until } else { record.begun };
        record.state == RecordState::Open && since + self.bounds.grace <= world.now
    }

    fn call(&self, world: &mut World, calls: &mut Calls, call: Call) -> Answer {
        if let Call::Begin { serial, .. } = call
            && self.planted(PlantedError::SerialReused)
            && usize::from(serial) < world.store.records.len()
        {
            world.broken = Some(Broken::SerialUsedTwice);
        }
        let answer = world.store.call(call, world.now, &self.errors);
        calls.push((call, answer));
        answer
    }

    /// Takes one step of `task`; returns the remaining task, if any.
    fn step(
        &self,
        world: &mut World,
        mut task: Task,
        outcome: Outcome,
        calls: &mut Calls,
    ) -> Option<Task> {
        let received = matches!(outcome, Outcome::Received | Outcome::Collides);
        if outcome == Outcome::Failed {
            return Self::fail(world, task);
        }
        match task.step {
            Step::Begin { begun, until, tried } => {
                let serial = match outcome {
                    Outcome::Collides => world.store.fresh() - 1,
                    _ => tried.unwrap_or_else(|| world.store.fresh()),
                };
                if self.planted(PlantedError::BeginInTwoSteps) {
                    let slot = world.store.slots.get(&task.key);
                    if slot.is_none_or(|(_, until)| *until <= begun) {
                        task.step = Step::Write { begun };
                        return Some(task);
                    }
                }
                let call = Call::Begin { serial, key: task.key, ca: task.ca, begun, until };
                let answer = self.call(world, calls, call);
                if tried.is_some() {
                    self.saw(Situation::BeginAgainAfterLostReply);
                }
                if answer == Answer::New {
                    let record = world.store.records[usize::from(serial)];
                    let earlier = || {
                        let same = |each: &&Record| each.key == task.key && *each != &record;
                        world.store.records.iter().filter(same)
                    };
                    if earlier().any(|each| matches!(each.state, RecordState::Issued(_))) {
                        self.saw(Situation::RenewalIsNew);
                    }
                    let revoked = |each: &Record| matches!(each.state, RecordState::Revoked(_));
                    if earlier().any(|each| revoked(each) && begun < each.until) {
                        self.saw(Situation::RevokedIsRequestedAgain);
                    }
                }
                if let Answer::Open { serial: first } | Answer::Complete { serial: first } = answer
                    && world.store.records[usize::from(first)].until <= world.now
                {
                    self.saw(Situation::LateBeginFindsTheFirst);
                }
                if !received {
                    if self.planted(PlantedError::BeginsAfresh) {
                        task.step = Step::Write { begun };
                    } else if answer == Answer::New {
                        task.step = Step::Begin { begun, until, tried: Some(serial) };
                    }
                    return Some(task);
                }
                if answer == Answer::New {
                    task.own = self.bounds.generated_keys.then_some(serial);
                }
                if let Answer::Open { serial: first } | Answer::Complete { serial: first } = answer
                    && self.bounds.generated_keys
                    && !self.planted(PlantedError::FinishesOtherKey)
                {
                    // The call whose reply was lost began it.
                    if Some(first) == tried {
                        task.own = tried;
                        return self.sign(world, task, first);
                    }
                    return Some(self.after(world, first, task));
                }
                match answer {
                    Answer::New => return self.sign(world, task, serial),
                    Answer::Open { serial: first } => {
                        if Some(first) != tried {
                            self.saw(Situation::RetryFindsOpen);
                        }
                        if world.store.records[usize::from(first)].ca == task.ca {
                            let unrecorded = self.planted(PlantedError::SignsUnrecorded);
                            let serial = if unrecorded { serial } else { first };
                            return self.sign(world, task, serial);
                        }
                        self.saw(Situation::RetryFindsOtherCa);
                        task.step = Step::Void { serial: first };
                    }
                    Answer::Complete { serial: first } => {
                        self.saw(Situation::RetryFindsComplete);
                        let certificate = match world.store.records[usize::from(first)].state {
                            RecordState::Issued(certificate) => certificate,
                            state => {
                                world.broken = Some(match state {
                                    RecordState::Revoked(_) => Broken::ReturnedRevoked,
                                    _ => Broken::AnsweredNothing,
                                });
                                return Self::fail(world, task);
                            }
                        };
                        task.step = Step::Answer { certificate };
                    }
                    _ => {
                        self.saw(Situation::SerialRejected);
                        return Self::fail(world, task);
                    }
                }
            }
            Step::Write { begun } => {
                let serial = world.store.fresh();
                let now = world.now;
                world.store.write(serial, task.key, task.ca, begun..begun + WINDOW, now);
                return self.sign(world, task, serial);
            }
            Step::Complete { certificate } => {
                let before = world.store.records[usize::from(certificate.serial)].state;
                let answer = self.call(world, calls, Call::Complete(certificate));
                // The event is committed with it.
                if before == RecordState::Open {
                    world.store.records[usize::from(certificate.serial)].retry_of = task.retry_of;
                }
                if before == RecordState::Issued(certificate) {
                    self.saw(Situation::CompleteAgainAfterLostReply);
                }
                if !received {
                    return Some(task);
                }
                let Answer::Recorded(recorded) = answer else {
                    self.saw(match before {
                        RecordState::Revoked(_) => Situation::CompleteAfterRevoke,
                        _ => Situation::CompleteAfterVoid,
                    });
                    return Self::fail(world, task);
                };
                if let RecordState::Revoked(_) = before {
                    world.broken = Some(Broken::ReturnedRevoked);
                }
                if recorded != certificate {
                    self.saw(Situation::SecondCompleteGetsTheFirst);
                }
                if task.sweep {
                    self.saw(match before {
                        RecordState::Open => Situation::SweepFinishes,
                        _ => Situation::SweepIsLate,
                    });
                }
                let own = self.planted(PlantedError::AnswersItsOwn);
                task.step = Step::Answer { certificate: if own { certificate } else { recorded } };
            }
            Step::Void { serial } => {
                let answer = self.call(world, calls, Call::Void { serial });
                if !received {
                    return Some(task);
                }
                match answer {
                    Answer::Voided if self.bounds.generated_keys => {
                        self.saw(Situation::GeneratedKeyIsVoided)
                    }
                    Answer::Voided if task.sweep => self.saw(Situation::SweepVoids),
                    Answer::Voided => {}
                    _ => self.saw(Situation::VoidAfterComplete),
                }
                return Self::fail(world, task);
            }
            Step::Answer { certificate } => {
                self.serve(world, &mut task, certificate);
                return None;
            }
        }
        // No device waits for the answer.
        let idle = matches!(task.step, Step::Answer { .. }) && task.device.is_none();
        (!idle).then_some(task)
    }

    /// Signs the recorded certificate, with a signature that no device, task or record has.
    fn sign(&self, world: &mut World, mut task: Task, serial: u8) -> Option<Task> {
        let Some(record) = world.store.records.get(usize::from(serial)) else {
            world.broken = Some(Broken::SignedUnrecorded);
            return Self::fail(world, task);
        };
        let on_record = match record.state {
            RecordState::Issued(certificate) | RecordState::Revoked(certificate) => {
                Some(certificate)
            }
            RecordState::Open | RecordState::Void => None,
        };
        let under_way = world.tasks.iter().filter_map(|task| match task.step {
            Step::Complete { certificate } | Step::Answer { certificate } => Some(certificate),
            _ => None,
        });
        let held = world.devices.iter().flat_map(|device| device.held.iter().copied());
        let used: Vec<_> = under_way.chain(held).chain(on_record).collect();
        let all = (0..=u8::MAX).map(|signature| Certificate { serial, signature });
        let certificate = all.into_iter().find(|each| !used.contains(each)).unwrap();
        if self.planted(PlantedError::AnswersBeforeComplete) {
            self.serve(world, &mut task, certificate);
        }
        task.step = Step::Complete { certificate };
        Some(task)
    }

    /// Handles a request with a newly generated key that finds an earlier record: the record stays
    /// unchanged, and the request begins as a retry of it.
    fn after(&self, world: &World, first: u8, task: Task) -> Task {
        let record = &world.store.records[usize::from(first)];
        let open = record.state == RecordState::Open;
        let none = Serials::default();
        // Records named by an earlier certificate are not named again.
        let kept = if open && !self.planted(PlantedError::NamesTheLastOnly) {
            task.retry_of
        } else {
            none
        };
        self.saw(match (open, kept == none) {
            (false, _) => Situation::GeneratedKeyAfterIssued,
            (true, true) => Situation::GeneratedKeyAfterOpen,
            (true, false) => Situation::GeneratedKeyAfterIssuedAndOpen,
        });
        let Step::Begin { begun, .. } = task.step else { return task };
        Task {
            key: ModelStore::retry_key(first),
            retry_of: kept.with(first),
            // One window for all of them.
            step: Step::Begin { begun, until: record.until, tried: None },
            ..task
        }
    }

    /// 503: the device will retry.
    fn fail(world: &mut World, task: Task) -> Option<Task> {
        if let Some(device) = task.device {
            world.devices[usize::from(device)].mood = Mood::Asks;
        }
        None
    }

    fn serve(&self, world: &mut World, task: &mut Task, certificate: Certificate) {
        if self.bounds.generated_keys && task.own != Some(certificate.serial) {
            world.broken = Some(Broken::KeyOfAnother);
        }
        if let Some(device) = task.device.take() {
            let device = &mut world.devices[usize::from(device)];
            device.mood = Mood::Served;
            device.held.push(certificate);
        }
    }

    fn act(&self, world: &World, action: Action, calls: &mut Calls) -> World {
        let mut next = world.clone();
        match action {
            Action::Send { device, node } => {
                let state = &mut next.devices[usize::from(device)];
                state.mood = Mood::Waits;
                next.tasks.push(Task {
                    node,
                    device: Some(device),
                    sweep: false,
                    key: device,
                    ca: world.nodes[usize::from(node)],
                    own: None,
                    retry_of: Serials::default(),
                    step: Step::Begin { begun: world.now, until: world.now + WINDOW, tried: None },
                });
            }
            Action::Do(task, outcome) => {
                let place = next.tasks.iter().position(|each| *each == task).unwrap();
                next.tasks.remove(place);
                next.losses += u8::from(outcome != Outcome::Received);
                let left = self.step(&mut next, task, outcome, calls);
                next.tasks.extend(left);
            }
            Action::HangUp(task) => {
                let place = next.tasks.iter().position(|each| *each == task).unwrap();
                next.losses += 1;
                next.devices[usize::from(task.device.unwrap())].mood = Mood::Asks;
                next.tasks[place].device = None;
                if let Step::Answer { .. } = task.step {
                    next.tasks.remove(place);
                }
            }
            Action::Sweep { node, serial } => {
                let ca = world.nodes[usize::from(node)];
                let record = &world.store.records[usize::from(serial)];
                let step = Step::Void { serial };
                let (own, retry_of) = (None, Serials::default());
                let key = record.key;
                let task = Task { node, device: None, sweep: true, key, ca, own, retry_of, step };
                let can_finish = record.ca == ca && !self.bounds.generated_keys;
                let left = if can_finish { self.sign(&mut next, task, serial) } else { Some(task) };
                next.tasks.extend(left);
            }
            Action::Crash { node } => {
                next.crashes += 1;

                for task in &world.tasks {
                    if task.node == node {
                        Self::fail(&mut next, *task);
                    }
                }
                next.tasks.retain(|task| task.node != node);
            }

            Action::Move { node } => {
                next.moves += 1;
                next.nodes[usize::from(node)] = 1;
            }
            Action::Revoke { serial } => {
                next.revocations += 1;
                self.call(&mut next, calls, Call::Revoke { serial });
            }
            Action::Tick => next.now += 1,
        }
        next.tasks.sort_unstable();
        next
    }

    /// Returns one world for all that are indistinguishable to nodes and devices.
    fn representative(mut next: World) -> World {
        // These fields are never read once a record has ended.
        for record in &mut next.store.records {
            if record.state != RecordState::Open {
                (record.ca, record.begun) = (0, 0);
            }
            if record.state == RecordState::Void {
                (record.until, record.taken) = (0, 0);
            }
        }
        Self::rename(&mut next);
        next.tasks.sort_unstable();
        // The nodes are alike: of two worlds that differ only in node names, one is explored.
        let mut swapped = next.tasks.clone();
        for task in &mut swapped {
            task.node = 1 - task.node;
        }
        swapped.sort_unstable();
        if ([next.nodes[1], next.nodes[0]], &swapped) < (next.nodes, &next.tasks) {
            next.nodes.swap(0, 1);
            next.tasks = swapped;
        }
        next
    }

    /// Renumbers signatures: the recorded one is 0, all later ones are 1. Those of an open record
    /// are counted.
    fn rename(world: &mut World) {
        for (serial, record) in (0..).zip(&mut world.store.records) {
            let mut known: Vec<u8> = Vec::new();
            let ended = record.state != RecordState::Open;
            let mut named = |certificate: &mut Certificate| {
                if certificate.serial == serial {
                    let place = known.iter().position(|each| *each == certificate.signature);
                    let place = place.unwrap_or_else(|| {
                        known.push(certificate.signature);
                        known.len() - 1
                    });
                    certificate.signature = if ended { place.min(1) } else { place } as u8;
                }
            };
            match &mut record.state {
                RecordState::Issued(certificate) | RecordState::Revoked(certificate) => {
                    named(certificate)
                }
                // The number of the recorded signature stays unused.
                RecordState::Void => named(&mut Certificate { serial, signature: u8::MAX }),
                RecordState::Open => {}
            }
            for device in &mut world.devices {
                device.held.iter_mut().for_each(&mut named);
            }
            for task in &mut world.tasks {
                if let Step::Complete { certificate } | Step::Answer { certificate } =
                    &mut task.step
                {
                    named(certificate);
                }
            }
        }
    }

    /// Whether each issued record of a key was written after the window of the previous one ended.
    fn one_in_a_window(world: &World) -> bool {
        let issued = || {
            let records = world.store.records.iter();
            records.filter(|record| matches!(record.state, RecordState::Issued(_)))
        };
        issued().enumerate().all(|(i, first)| {
            issued().skip(i + 1).all(|later| first.key != later.key || first.until <= later.taken)
        })
    }

    /// Whether each certificate for a generated key is named by a later one within its window, if
    /// one follows. A late one, of the window before, follows the certificates of its own window.
    fn followed_are_named(world: &World) -> bool {
        let records = || (0..).zip(&world.store.records);
        let issued = || records().filter(|(_, each)| matches!(each.state, RecordState::Issued(_)));
        let request = |record: &Record| world.store.request_of(record.key);
        issued().all(|(serial, record)| {
            let followed = issued().any(|(later, each)| {
                serial < later
                    && request(each) == request(record)
                    && each.taken < record.until
                    && record.until <= each.until
            });
            !followed || issued().any(|(_, each)| each.retry_of.has(serial))
        })
    }

    fn held_are_on_record(world: &World) -> bool {
        world.devices.iter().flat_map(|device| &device.held).all(|held| {
            let record = world.store.records.get(usize::from(held.serial));
            record.is_some_and(|record| {
                record.state == RecordState::Issued(*held)
                    || record.state == RecordState::Revoked(*held)
            })
        })
    }

    fn is_quiet(&self, world: &World) -> bool {
        let mut actions = Vec::new();
        world.tasks.is_empty() && {
            self.progress(world, &mut actions);
            actions.is_empty()
        }
    }
}

const ON_RECORD: &str = "a certificate that a device holds is on record, byte for byte";
const ONE_IN_A_WINDOW: &str = "one certificate for one idempotency key within one window";
const RENEWED: &str = "a renewal that is due gets a certificate of its own";
const SERIALS: &str = "no serial number is used for two records";
const RECORDED_FIRST: &str = "every signed certificate is on record";
const NO_EMPTY_ANSWER: &str = "an answer holds a certificate";
const NONE_REVOKED: &str = "no answer of the store contains a revoked certificate";
const OWN_KEY: &str = "a generated key is sent only with its own certificate";
const NAMED: &str =
    "a certificate for a generated key is named if another one follows in its window";
const SERVED: &str = "when nothing is left to do, every device has its certificate";
const NONE_OPEN: &str = "when nothing is left to do, no record older than the grace is open";

impl Model for Issuing {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let device = Device { mood: Mood::Asks, held: Vec::new() };
        vec![World {
            now: 0,
            store: ModelStore::default(),
            nodes: [0; 2],
            devices: vec![device; self.bounds.devices],
            tasks: Vec::new(),
            crashes: 0,
            losses: 0,
            moves: 0,
            revocations: 0,
            broken: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.progress(world, actions);
        if world.now < self.bounds.last {
            actions.push(Action::Tick);
        }
        for (id, node) in (0..).zip(&world.nodes) {
            // A crash of an idle node changes nothing.
            if world.crashes < self.bounds.crashes && world.tasks.iter().any(|task| task.node == id)
            {
                actions.push(Action::Crash { node: id });
            }
            if *node == 0 && world.moves < self.bounds.moves {
                actions.push(Action::Move { node: id });
            }
        }
        if world.revocations < self.bounds.revocations {
            for (serial, record) in (0..).zip(&world.store.records) {
                if let RecordState::Issued(_) = record.state {
                    actions.push(Action::Revoke { serial });
                }
            }
        }
        if world.losses == self.bounds.losses {
            return;
        }
        for task in &world.tasks {
            if task.device.is_some() {
                actions.push(Action::HangUp(*task));
            }
            match task.step {
                Step::Begin { .. } => {
                    if !world.store.records.is_empty() {
                        actions.push(Action::Do(*task, Outcome::Collides));
                    }
                    actions.push(Action::Do(*task, Outcome::Lost));
                    actions.push(Action::Do(*task, Outcome::Failed));
                }
                Step::Complete { .. } | Step::Void { .. } => {
                    actions.push(Action::Do(*task, Outcome::Lost));
                    actions.push(Action::Do(*task, Outcome::Failed));
                }

                Step::Write { .. } | Step::Answer { .. } => {}
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        Some(Self::representative(self.act(world, action, &mut Vec::new())))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ON_RECORD, |_, world| Self::held_are_on_record(world)),
            Property::always(ONE_IN_A_WINDOW, |_, world| Self::one_in_a_window(world)),
            Property::always(RENEWED, |_, world: &World| {
                let held = world.devices.iter().map(|device| &device.held);
                held.clone().all(|held| held.iter().collect::<BTreeSet<_>>().len() == held.len())
            }),
            Property::always(SERIALS, |_, world: &World| {
                world.broken != Some(Broken::SerialUsedTwice)
            }),
            Property::always(RECORDED_FIRST, |_, world: &World| {
                world.broken != Some(Broken::SignedUnrecorded)
            }),
            Property::always(NO_EMPTY_ANSWER, |_, world: &World| {
                world.broken != Some(Broken::AnsweredNothing)
            }),
            Property::always(NONE_REVOKED, |_, world: &World| {
                world.broken != Some(Broken::ReturnedRevoked)
            }),
            Property::always(OWN_KEY, |_, world: &World| {
                world.broken != Some(Broken::KeyOfAnother)
            }),
            Property::always(NAMED, |model, world| {
                !model.bounds.generated_keys || Self::followed_are_named(world)
            }),
            Property::always(SERVED, |model, world: &World| {
                let served = |device: &Device| device.mood == Mood::Served;
                world.devices.iter().all(served) || !model.is_quiet(world)
            }),
            Property::always(NONE_OPEN, |model, world: &World| {
                !world.store.records.iter().any(|record| model.aged(world, record))
                    || !model.is_quiet(world)
            }),
        ]
    }
}

/// Searches exhaustively within `bounds` and prints statistics. Returns the situations reached.
fn explore(name: &str, bounds: Bounds) -> BTreeMap<Situation, u64> {
    let model = Issuing::new(bounds, &[]);
    let seen = Arc::clone(&model.seen);
    let start = Instant::now();
    let checker = model.checker().spawn_bfs().join();
    for (property, trace) in checker.discoveries() {
        for (world, action) in trace.into_vec() {
            println!("{world:?}\n  {action:?}");
        }
        println!("does not hold: {property}");
    }
    checker.assert_properties();
    assert!(checker.is_done(), "the whole space");
    println!(
        "{name}: {} states, {} steps, at most {} deep, {:?}; {bounds:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        start.elapsed(),
    );
    let count = |each: Situation| (each, seen[each as usize].load(Ordering::Relaxed));
    SITUATIONS.into_iter().map(count).collect()
}

/// One device and its renewal meet every error; two devices interact.
fn bounds() -> Vec<(&'static str, Bounds)> {
    let one = Bounds {
        devices: 1,
        generated_keys: false,
        last: 2,
        grace: 1,
        crashes: 1,
        losses: 1,
        moves: 0,
        revocations: 0,
    };
    let mut all = vec![
        ("one device", one),
        ("one device, two of each", Bounds { last: 1, crashes: 2, losses: 2, ..one }),
        // A sweep may run at any time: correctness must not depend on the grace period.
        ("sweeps at any time", Bounds { last: 1, grace: 0, crashes: 1, ..one }),
        ("another CA", Bounds { last: 1, crashes: 1, moves: 1, ..one }),
        ("revoked", Bounds { last: 1, revocations: 1, ..one }),
        ("two devices", Bounds { devices: 2, last: 1, losses: 0, crashes: 1, ..one }),
        ("two devices, renewal", Bounds { devices: 2, losses: 0, crashes: 0, ..one }),
        // Sweeps run as early as possible: the worst case between two retries.
        (
            "generated keys",
            Bounds { generated_keys: true, last: 1, grace: 0, crashes: 1, losses: 1, ..one },
        ),
        ("generated keys, renewal", Bounds { generated_keys: true, losses: 0, ..one }),
    ];
    if std::env::var("ESTD_MODEL").is_ok_and(|value| value == "large") {
        all.extend([
            ("large: one device", Bounds { crashes: 2, losses: 2, ..one }),
            ("large: sweeps at any time", Bounds { grace: 0, crashes: 1, ..one }),
            ("large: revoked", Bounds { losses: 2, revocations: 2, ..one }),
            ("large: another CA", Bounds { crashes: 1, moves: 1, ..one }),
            (
                "large: generated keys",
                Bounds { generated_keys: true, last: 1, crashes: 2, losses: 2, ..one },
            ),
            ("large: two devices", Bounds { devices: 2, crashes: 1, last: 1, ..one }),
        ]);
    }
    all
}

#[test]
fn holds_in_every_order_of_steps() {
    let mut met: BTreeMap<Situation, u64> = BTreeMap::new();
    for (name, bounds) in bounds() {
        for (situation, count) in explore(name, bounds) {
            *met.entry(situation).or_default() += count;
        }
    }
    for (situation, count) in &met {
        println!("{situation:?}: {count} times");
    }
    let never: Vec<_> = met.iter().filter(|(_, count)| **count == 0).collect();
    assert!(never.is_empty(), "never came up: {never:?}");
}

/// Searches until `property` fails; returns the number of steps to the failure.
fn counterexample(error: PlantedError, bounds: Bounds, property: &'static str) -> Option<usize> {
    let checker = Issuing::new(bounds, &[error]).checker();
    let checker = checker.finish_when(HasDiscoveries::AnyOf([property].into()));
    let checker = checker.spawn_bfs().join();
    checker.discovery(property).map(|trace| trace.into_actions().len())
}

#[test]
fn finds_each_planted_error() {
    let one = Bounds {
        devices: 1,
        generated_keys: false,
        last: 1,
        grace: 0,
        crashes: 1,
        losses: 1,
        moves: 0,
        revocations: 0,
    };
    let revoked = Bounds { crashes: 0, revocations: 1, ..one };
    let reload = Bounds { crashes: 0, moves: 1, ..one };
    let generated = Bounds { generated_keys: true, losses: 2, ..one };
    let errors: [(PlantedError, Bounds, &str); 20] = [
        (PlantedError::AnswersBeforeComplete, one, ON_RECORD),
        (PlantedError::AnswersItsOwn, one, ON_RECORD),
        (PlantedError::BeginInTwoSteps, one, ONE_IN_A_WINDOW),
        (PlantedError::BeginsAfresh, one, ONE_IN_A_WINDOW),
        (PlantedError::SerialReused, one, SERIALS),
        (PlantedError::SignsUnrecorded, one, RECORDED_FIRST),
        (PlantedError::WindowNeverEnds, one, RENEWED),
        (PlantedError::CompleteOverwrites, one, ON_RECORD),
        (PlantedError::CompleteRevives, reload, ONE_IN_A_WINDOW),
        (PlantedError::SlotKeptOnVoid, reload, NO_EMPTY_ANSWER),
        (PlantedError::VoidFreesAnySlot, Bounds { last: 2, losses: 2, ..reload }, ONE_IN_A_WINDOW),
        (PlantedError::VoidUnchecked, reload, ON_RECORD),
        (PlantedError::SlotKeptOnRevoke, revoked, NONE_REVOKED),
        (PlantedError::CompleteReturnsRevoked, revoked, NONE_REVOKED),
        (PlantedError::NoSweep, Bounds { last: 2, ..one }, NONE_OPEN),
        (PlantedError::AnswersBeforeComplete, generated, ON_RECORD),
        (PlantedError::NoSweep, generated, NONE_OPEN),
        (PlantedError::FinishesOtherKey, generated, OWN_KEY),
        (PlantedError::VoidsWithinTheWindow, generated, NAMED),
        (PlantedError::NamesTheLastOnly, generated, NAMED),
    ];
    for (error, bounds, property) in errors {
        let steps = counterexample(error, bounds, property);
        println!("{error:?}: {property}: fails after {steps:?} steps");
        assert!(steps.is_some(), "{error:?} does not break: {property}");
    }
}

/// Pseudorandom numbers for walks, the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

const WALKED: Bounds = Bounds {
    devices: 2,
    generated_keys: false,
    last: 4,
    grace: 1,
    crashes: 2,
    losses: 4,
    moves: 2,
    revocations: 2,
};

/// Takes random actions until none is left.
fn walk(seed: u64, generated_keys: bool) -> (Calls, World) {
    let model = Issuing::new(Bounds { generated_keys, ..WALKED }, &[]);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut world = model.init_states().remove(0);
    let mut calls = Calls::new();
    for _ in 0..1_000 {
        let mut actions = Vec::new();
        model.actions(&world, &mut actions);
        if actions.is_empty() {
            return (calls, world);
        }
        world = model.act(&world, actions[dice.below(actions.len())], &mut calls);
    }
    panic!("walk {seed} does not end: a device asks forever");
}

/// Returns the calls that lead to each state within `depth` steps, along every path.
fn paths(depth: usize) -> HashSet<Vec<(Call, Answer)>> {
    let bounds = Bounds {
        devices: 1,
        generated_keys: false,
        last: 1,
        grace: 0,
        crashes: 0,
        losses: 2,
        moves: 1,
        revocations: 1,
    };
    let model = Issuing::new(bounds, &[]);
    let start = model.init_states().remove(0);
    let mut seen = HashSet::from([(start.clone(), Calls::new())]);
    let mut layer = vec![(start, Calls::new())];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (world, calls) in layer {
            let mut actions = Vec::new();
            model.actions(&world, &mut actions);
            for action in actions {
                let mut calls = calls.clone();
                let world = model.act(&world, action, &mut calls);
                if seen.insert((world.clone(), calls.clone())) {
                    next.push((world, calls));
                }
            }
        }
        layer = next;
    }
    seen.into_iter().map(|(_, calls)| calls).collect()
}

/// Replays the model's calls on a real store, as run number `run`. No two runs share a serial
/// number, an idempotency key or a timestamp.
struct Real<'a> {
    store: &'a dyn Store,
    run: u64,
}

impl Real<'_> {
    fn serial(&self, serial: u8) -> Serial {
        let mut bytes = vec![1];
        bytes.extend(self.run.to_be_bytes());
        bytes.push(serial);
        Serial::parse(&bytes).unwrap()
    }

    fn time(&self, tick: u8) -> Time {
        Time::from_unix(1_795_262_400 + self.run * 1_000 + u64::from(tick))
    }

    fn bytes(certificate: Certificate) -> Vec<u8> {
        vec![0x30, certificate.serial, certificate.signature]
    }

    fn event(&self, name: Name) -> Event {
        Event::new(self.time(0), name, Actor::server())
    }

    fn intent(&self, serial: u8, key: u8, ca: u8, window: Range<u8>) -> Intent {
        let Range { start: begun, end: until } = window;
        let mut idempotency_key = [key; 32];
        idempotency_key[..8].copy_from_slice(&self.run.to_be_bytes());
        Intent {
            idempotency_key: IdempotencyKey(idempotency_key),
            retry_until: self.time(until),
            tbs: vec![0x30, serial].into(),
            label: None,
            operation: Some(Operation::SimpleEnroll),
            subject: format!("CN=device-{key}"),
            san: Vec::new(),
            spki_sha256: [key; 32],
            not_before: self.time(begun),
            not_after: self.time(begun + 100),
            actor: Actor::anonymous(),
            predecessor: None,
            request_id: RequestId::new(self.run.to_be_bytes()),
            begun: self.time(begun),
            ..Intent::blank(
                self.serial(serial),
                format!("ca-{ca}").parse().unwrap(),
                "device".parse().unwrap(),
            )
        }
    }

    /// Makes one call; returns its answer in the model's terms.
    async fn call(&self, call: Call) -> Answer {
        let number =
            |serial: &Serial| (0..=u8::MAX).find(|each| self.serial(*each) == *serial).unwrap();
        let certificate = |bytes: &[u8]| Certificate { serial: bytes[1], signature: bytes[2] };
        let failed = |error: Error| match error {
            Error::SerialTaken(_) => Answer::SerialTaken,
            Error::WrongState { state: State::Void, .. } => Answer::WrongState(RecordState::Void),
            Error::WrongState { serial, state: State::Issued } => {
                // The error does not name the certificate; the record does, below.
                let none = Certificate { serial: number(&serial), signature: u8::MAX };
                Answer::WrongState(RecordState::Issued(none))
            }
            Error::WrongState { serial, state: State::Revoked } => {
                let none = Certificate { serial: number(&serial), signature: u8::MAX };
                Answer::WrongState(RecordState::Revoked(none))
            }
            other => panic!("{call:?}: {other}"),
        };
        match call {
            Call::Begin { serial, key, ca, begun, until } => {
                match self
                    .store
                    .begin(self.intent(serial, key, ca, begun..until), Conditions::default())
                    .await
                {
                    Ok(Begun::New) => Answer::New,
                    Ok(Begun::Open(first)) => {
                        let serial = number(&first.intent.serial);
                        assert_eq!(*first.intent.tbs, [0x30, serial], "the record on file");
                        Answer::Open { serial }
                    }
                    Ok(Begun::Complete(first)) => {
                        Answer::Complete { serial: number(&first.intent.serial) }
                    }
                    Ok(Begun::Unmet(unmet)) => panic!("{call:?}: {unmet:?}"),
                    Err(error) => failed(error),
                }
            }
            Call::Complete(signed) => {
                let event = self.event(Name::CertificateIssued);
                let serial = self.serial(signed.serial);
                match self.store.complete(&serial, Self::bytes(signed), event).await {
                    Ok(issued) => Answer::Recorded(certificate(&issued.certificate)),
                    Err(error) => failed(error),
                }
            }
            Call::Void { serial } => {
                let event = self.event(Name::IssuanceVoided);
                match self.store.void(&self.serial(serial), event).await {
                    Ok(()) => Answer::Voided,
                    Err(error) => failed(error),
                }
            }
            Call::Revoke { serial } => {
                let revocation =
                    Revocation { at: self.time(0), reason: RevocationReason::default() };
                let event = self.event(Name::CertificateRevoked);
                match self.store.revoke(&self.serial(serial), revocation, event).await {
                    Ok(revoked) => Answer::Revoked(certificate(&revoked.certificate)),
                    Err(error) => failed(error),
                }
            }
        }
    }

    /// Makes all calls; each answer, and the final records, must equal the model's.
    async fn replay(&self, calls: &[(Call, Answer)]) {
        let mut kept = ModelStore::default();
        for (call, expected) in calls {
            assert_eq!(kept.call(*call, 0, &[]), *expected, "{call:?} of {calls:?}");
            let expected = match *expected {
                Answer::WrongState(RecordState::Issued(Certificate { serial, .. })) => {
                    let none = Certificate { serial, signature: u8::MAX };
                    Answer::WrongState(RecordState::Issued(none))
                }
                Answer::WrongState(RecordState::Revoked(Certificate { serial, .. })) => {
                    let none = Certificate { serial, signature: u8::MAX };
                    Answer::WrongState(RecordState::Revoked(none))
                }
                other => other,
            };
            assert_eq!(self.call(*call).await, expected, "{call:?} of {calls:?}");
        }
        for (serial, record) in (0..).zip(&kept.records) {
            let real = self.store.find(&self.serial(serial)).await.unwrap().unwrap();
            let (state, certificate) = match record.state {
                RecordState::Open => (State::Open, Vec::new()),
                RecordState::Issued(certificate) => (State::Issued, Self::bytes(certificate)),
                RecordState::Void => (State::Void, Vec::new()),
                RecordState::Revoked(certificate) => (State::Revoked, Self::bytes(certificate)),
            };
            assert_eq!((real.state, &real.certificate), (state, &certificate), "{calls:?}");
        }
        assert!(self.store.find(&self.serial(kept.fresh())).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn the_memory_store_answers_as_the_model_does() {
    let store = MemoryStore::new(Arc::new(NoTrail));
    let (mut runs, mut calls) = (0, 0);
    let walks = (0..4_000).map(|seed| {
        let (calls, world) = walk(seed, seed >= 3_000);
        assert!(world.devices.iter().all(|device| device.mood == Mood::Served), "walk {seed}");
        calls
    });
    for each in walks.chain(paths(8)) {
        Real { store: &store, run: runs }.replay(&each).await;
        runs += 1;
        calls += each.len();
    }
    println!("{runs} runs, {calls} calls");
    let issued = Filter { state: Some(State::Issued), ..Filter::default() };
    assert!(!store.list(&issued, None, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn sled_answers_as_the_model_does() {
    let folder = tempfile::tempdir().unwrap();
    let start = Time::from_unix(1_795_262_400);
    let store = SledStore::open(folder.path(), 16 << 20, start, Arc::new(NoTrail)).unwrap();
    for run in 0..50 {
        Real { store: &store, run }.replay(&walk(run, run >= 40).0).await;
    }
    store.close().await;
}
