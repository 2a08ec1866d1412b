//! Imports records of another store.

use super::{
    super::{Account, Device, Error, Issuance, Item, State, Token, format},
    database::DatabaseError,
    devices,
    issuances::find,
    row::{IntentRow, column, query, seconds, signed, state_number},
    tokens,
};
use crate::{
    telemetry::audit::{Event, EventId},
    types::TokenId,
};
use deadpool_postgres::Object;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Imports records of another store in one transaction.
///
/// # Errors
/// [`Error::Conflict`] for an existing record that differs, and for an event without its predecessor.
pub(super) async fn import_items(client: &Object, items: &[Item]) -> Result<(), DatabaseError> {
    let sorted = Sorted::new(items);
    // Without a commit the connection is dropped, which rolls back.
    client.batch_execute("BEGIN").await?;
    sorted.insert_issuances(client).await?;
    sorted.insert_accounts(client).await?;
    sorted.insert_events(client).await?;
    sorted.insert_registers(client).await?;
    sorted.put_devices(client).await?;
    sorted.put_tokens(client).await?;
    // Existing rows were left unchanged: they must equal the imported ones.
    sorted.compare_issuances(client).await?;
    sorted.compare_accounts(client).await?;
    sorted.compare_events(client).await?;
    sorted.compare_registers(client).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

fn conflict(item: &Item) -> DatabaseError {
    DatabaseError::Store(Error::Conflict(item.to_string()))
}

/// Items by table.
#[derive(Default)]
struct Sorted<'a> {
    issuances: Vec<(&'a Issuance, &'a Item)>,
    accounts: Vec<(&'a Account, &'a Item)>,
    events: Vec<(EventId, &'a Event, &'a Item)>,
    registers: Vec<(&'a str, &'a [u8], &'a Item)>,
    devices: Vec<(&'a Device, &'a Item)>,
    tokens: Vec<(&'a Token, &'a Item)>,
}

impl<'a> Sorted<'a> {
    fn new(items: &'a [Item]) -> Self {
        let mut sorted = Self::default();
        for item in items {
            match item {
                Item::Issuance(one) => sorted.issuances.push((one, item)),
                Item::Account(one) => sorted.accounts.push((one, item)),
                Item::Event(id, one) => sorted.events.push((*id, one, item)),
                Item::Register(name, value) => sorted.registers.push((name, value, item)),
                Item::Device(one) => sorted.devices.push((one, item)),
                Item::Token(one) => sorted.tokens.push((one, item)),
            }
        }
        sorted
    }

    async fn insert_issuances(&self, client: &Object) -> Result<(), DatabaseError> {
        const SQL: &str = "
            INSERT INTO issuance (serial, state, label, names, not_after, begun, request_key,
                                  intent, tbs, certificate, ended, revoked, reason, device, spki,
                                  predecessor)
            SELECT * FROM unnest($1::bytea[], $2::int2[], $3::text[], $4::bytea[], $5::int8[],
                                 $6::int8[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[],
                                 $11::int8[], $12::int8[], $13::int2[], $14::text[], $15::bytea[],
                                 $16::bytea[])
            ON CONFLICT DO NOTHING";
        const SLOTS: &str = "
            INSERT INTO request AS r (request_key, serial, begun, repeat_until)
            SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::int8[], $4::int8[])
            ON CONFLICT (request_key) DO UPDATE
                SET serial = excluded.serial, begun = excluded.begun,
                    repeat_until = excluded.repeat_until
                WHERE r.repeat_until < excluded.repeat_until";
        let rows = self.issuances.iter().map(|(one, _)| IntentRow::new(&one.intent));
        let rows: Vec<IntentRow> = rows.collect::<Result<_, _>>()?;
        let with = || rows.iter().zip(&self.issuances).map(|(row, (one, _))| (row, *one));
        let states: Vec<i16> = with().map(|(_, one)| state_number(one.state)).collect();
        let labels: Vec<Option<&str>> = with().map(|(row, _)| row.label.as_deref()).collect();
        let tbs = with().map(|(row, one)| (one.state == State::Open).then_some(&row.tbs[..]));
        let tbs: Vec<Option<&[u8]>> = tbs.collect();
        let issued = |one: &'a Issuance| {
            matches!(one.state, State::Issued | State::Revoked).then_some(&one.certificate[..])
        };
        let certificates: Vec<Option<&[u8]>> = with().map(|(_, one)| issued(one)).collect();
        let ended: Vec<Option<i64>> = with().map(|(_, one)| one.ended.map(seconds)).collect();
        let revocations = || with().map(|(_, one)| one.revocation);
        let revoked: Vec<Option<i64>> =
            revocations().map(|each| each.map(|one| seconds(one.at))).collect();
        let reasons: Vec<Option<i16>> =
            revocations().map(|each| each.map(|one| i16::from(one.reason.code()))).collect();
        query(
            client,
            SQL,
            &[
                &with().map(|(row, _)| &row.serial[..]).collect::<Vec<_>>(),
                &states,
                &labels,
                &with().map(|(row, _)| &row.names[..]).collect::<Vec<_>>(),
                &with().map(|(row, _)| row.not_after).collect::<Vec<_>>(),
                &with().map(|(row, _)| row.begun).collect::<Vec<_>>(),
                &with().map(|(row, _)| &row.idempotency_key[..]).collect::<Vec<_>>(),
                &with().map(|(row, _)| &row.intent[..]).collect::<Vec<_>>(),
                &tbs,
                &certificates,
                &ended,
                &revoked,
                &reasons,
                &with().map(|(row, _)| row.device.as_deref()).collect::<Vec<_>>(),
                &with().map(|(row, _)| &row.spki[..]).collect::<Vec<_>>(),
                &with().map(|(row, _)| row.predecessor.as_deref()).collect::<Vec<_>>(),
            ],
        )
        .await?;
        // Of several with one key the last one counts: one statement cannot insert a key twice.
        let mut slots: BTreeMap<&[u8], &IntentRow> = BTreeMap::new();
        for (row, _) in with().filter(|(_, one)| one.state.answers_repeats()) {
            let slot = slots.entry(&row.idempotency_key).or_insert(row);
            if slot.retry_until < row.retry_until {
                *slot = row;
            }
        }
        let slots: Vec<&IntentRow> = slots.into_values().collect();
        query(
            client,
            SLOTS,
            &[
                &slots.iter().map(|row| &row.idempotency_key[..]).collect::<Vec<_>>(),
                &slots.iter().map(|row| &row.serial[..]).collect::<Vec<_>>(),
                &slots.iter().map(|row| row.begun).collect::<Vec<_>>(),
                &slots.iter().map(|row| row.retry_until).collect::<Vec<_>>(),
            ],
        )
        .await?;
        Ok(())
    }

    async fn compare_issuances(&self, client: &Object) -> Result<(), DatabaseError> {
        let serials: Vec<&[u8]> =
            self.issuances.iter().map(|(one, _)| one.intent.serial.as_bytes()).collect();
        let kept = find(client, &serials).await?;
        for (one, item) in &self.issuances {
            let kept = kept.get(one.intent.serial.as_bytes()).cloned().transpose()?;
            if kept.is_none_or(|kept| *kept != **one) {
                return Err(conflict(item));
            }
        }
        Ok(())
    }

    async fn insert_accounts(&self, client: &Object) -> Result<(), DatabaseError> {
        const SQL: &str = "
            INSERT INTO account (name, record) SELECT * FROM unnest($1::text[], $2::bytea[])
            ON CONFLICT DO NOTHING";
        let names: Vec<&str> = self.accounts.iter().map(|(one, _)| one.name.as_str()).collect();
        let records = self.accounts.iter().map(|(one, _)| format::account(one));
        let records: Vec<Vec<u8>> = records.collect::<Result<_, _>>()?;
        query(client, SQL, &[&names, &records]).await?;
        Ok(())
    }

    async fn compare_accounts(&self, client: &Object) -> Result<(), DatabaseError> {
        let names: Vec<&str> = self.accounts.iter().map(|(one, _)| one.name.as_str()).collect();
        let sql = "SELECT record FROM account WHERE name = ANY($1::text[])";
        let rows = query(client, sql, &[&names]).await?;
        let kept = rows.iter().map(|row| format::read_account(column(row, 0)?));
        let kept: Vec<Account> = kept.collect::<Result<_, Error>>()?;
        let kept: HashMap<&str, &Account> =
            kept.iter().map(|one| (one.name.as_str(), one)).collect();
        for (one, item) in &self.accounts {
            if kept.get(one.name.as_str()) != Some(one) {
                return Err(conflict(item));
            }
        }
        Ok(())
    }

    fn event_places(&self) -> (Vec<i64>, Vec<i64>) {
        self.events.iter().map(|(id, _, _)| (signed(id.writer), signed(id.number))).unzip()
    }

    async fn insert_events(&self, client: &Object) -> Result<(), DatabaseError> {
        const SQL: &str = "
            INSERT INTO event (writer, number, event)
            SELECT * FROM unnest($1::int8[], $2::int8[], $3::bytea[]) ON CONFLICT DO NOTHING";
        let (writers, numbers) = self.event_places();
        let events = self.events.iter().map(|(_, event, _)| format::event(event));
        let events: Vec<Vec<u8>> = events.collect::<Result<_, _>>()?;
        query(client, SQL, &[&writers, &numbers, &events]).await?;
        Ok(())
    }

    async fn compare_events(&self, client: &Object) -> Result<(), DatabaseError> {
        const SQL: &str = "
            SELECT e.writer, e.number, e.event,
                EXISTS (SELECT FROM event b WHERE b.writer = e.writer AND b.number = e.number - 1)
            FROM event e JOIN unnest($1::int8[], $2::int8[]) AS a (writer, number)
                USING (writer, number)";
        let (writers, numbers) = self.event_places();
        let rows = query(client, SQL, &[&writers, &numbers]).await?;
        let mut kept = HashMap::new();
        let mut led = HashSet::new();
        for row in &rows {
            let place: (i64, i64) = (column(row, 0)?, column(row, 1)?);
            kept.insert(place, format::read_event(column(row, 2)?)?);
            if place.1 == 1 || column(row, 3)? {
                led.insert(place);
            }
        }
        for (id, event, item) in &self.events {
            let place = (signed(id.writer), signed(id.number));
            if kept.get(&place) != Some(event) || !led.contains(&place) {
                return Err(conflict(item));
            }
        }
        Ok(())
    }

    async fn insert_registers(&self, client: &Object) -> Result<(), DatabaseError> {
        const SQL: &str = "
            INSERT INTO decision (matter, value) SELECT * FROM unnest($1::text[], $2::bytea[])
            ON CONFLICT DO NOTHING";
        let (names, values): (Vec<&str>, Vec<&[u8]>) =
            self.registers.iter().map(|(name, value, _)| (*name, *value)).unzip();
        query(client, SQL, &[&names, &values]).await?;
        Ok(())
    }

    async fn compare_registers(&self, client: &Object) -> Result<(), DatabaseError> {
        let names: Vec<&str> = self.registers.iter().map(|(name, _, _)| *name).collect();
        let sql = "SELECT matter, value FROM decision WHERE matter = ANY($1::text[])";
        let rows = query(client, sql, &[&names]).await?;
        let mut kept: HashMap<String, Vec<u8>> = HashMap::new();
        for row in &rows {
            kept.insert(column(row, 0)?, column(row, 1)?);
        }
        for (name, value, item) in &self.registers {
            if kept.get(*name).map(Vec::as_slice) != Some(*value) {
                return Err(conflict(item));
            }
        }
        Ok(())
    }

    async fn put_devices(&self, client: &Object) -> Result<(), DatabaseError> {
        if self.devices.is_empty() {
            return Ok(());
        }
        devices::share_import(client).await?;
        let ids: Vec<&str> = self.devices.iter().map(|(one, _)| one.id.as_str()).collect();
        devices::lock(client, ids.iter().map(|id| devices::lock_of("device", id)).collect())
            .await?;
        let kept = devices::find_devices(client, &ids).await?;
        let mut new = Vec::new();
        for (one, item) in &self.devices {
            match kept.get(&one.id) {
                Some(kept) if kept == *one => {}
                Some(_) => return Err(conflict(item)),
                None => new.push(*one),
            }
        }
        match devices::put_many(client, &new).await {
            Err(DatabaseError::Store(error)) => Err(Error::Conflict(error.to_string()).into()),
            put => put,
        }
    }

    async fn put_tokens(&self, client: &Object) -> Result<(), DatabaseError> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let all: Vec<Token> = self.tokens.iter().map(|(one, _)| (*one).clone()).collect();
        tokens::add(client, &all).await?;
        let ids: Vec<TokenId> = all.iter().map(|one| one.id).collect();
        let kept = tokens::find_tokens(client, &ids).await?;
        for (one, item) in &self.tokens {
            if kept.get(&one.id) != Some(one) {
                return Err(conflict(item));
            }
        }
        Ok(())
    }
}
