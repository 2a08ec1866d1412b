use super::*;
use crate::{
    store::{
        Accounts, AuditEvents, Conditions, DeviceFilter, Devices, Intent, Issuances, Item,
        MemoryStore, Registers, Store, TokenFilter, Tokens,
        contract::{NOW, account, at, event, intent, revocation, serial},
        transfer::{Export, Walk, export, import, tests::all},
    },
    telemetry::audit::NoTrail,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn event_of(name: Name, number: u64) -> Event {
    event(name, number).with("serial", serial(number))
}

async fn issue_at(store: &dyn Store, number: u64, begun: Time) {
    let intent = Intent { begun, ..intent(number, number) };
    store.begin(intent, Conditions::default()).await.unwrap();
    let event = event_of(Name::CertificateIssued, number);
    store.complete(&serial(number), vec![0x31; 80], event).await.unwrap();
}

/// A store that changes each time issuances are read, and lists new events one call late.
struct Busy {
    store: MemoryStore,
    changes: AtomicBool,
    pages: AtomicU64,
    listed: AtomicU64,
    new_account: AtomicBool,
}

impl Busy {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(Arc::new(NoTrail)),
            changes: AtomicBool::new(false),
            pages: AtomicU64::new(0),
            listed: AtomicU64::new(u64::MAX),
            new_account: AtomicBool::new(false),
        }
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    /// New certificates before and behind the page, revocations of old and new ones, and the
    /// ends of issuances that were open.
    async fn change(&self) {
        let store = self.store();
        let page = self.pages.fetch_add(1, Ordering::SeqCst);
        for number in [1 + 2 * page, 1001 + 2 * page, 2401 + 2 * page] {
            issue_at(store, number, at(10)).await;
            let renewal = Intent {
                predecessor: Some(serial(number)),
                begun: at(10),
                ..intent(5000 + number, 5000 + number)
            };
            store.begin(renewal, Conditions::default()).await.unwrap();
        }
        for number in [2 * page, 2000 + 2 * page, 1001 + 2 * page] {
            let event = event_of(Name::CertificateRevoked, number);
            store.revoke(&serial(number), revocation(number), event).await.unwrap();
        }
        if page == 0 {
            let event = event_of(Name::CertificateIssued, 3001);
            store.complete(&serial(3001), vec![0x31; 80], event).await.unwrap();
            store.void(&serial(3003), event_of(Name::IssuanceVoided, 3003)).await.unwrap();
        }
    }
}

#[async_trait]
impl Source for Busy {
    async fn issuances(
        &self,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        if self.changes.load(Ordering::SeqCst) {
            self.change().await;
        }
        self.store().issuances(after, limit).await
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        let found = self.store.accounts().await;
        if self.new_account.swap(false, Ordering::SeqCst) {
            let event = event(Name::AccountAdded, 9).with("account", "new");
            self.store.add_account(account("new"), event).await?;
        }
        found
    }

    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.store.registers().await
    }

    async fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<Device>, Error> {
        Devices::devices(&self.store, &DeviceFilter::default(), after, limit).await
    }

    async fn tokens(&self, after: Option<&TokenId>, limit: usize) -> Result<Vec<Token>, Error> {
        Tokens::tokens(&self.store, &TokenFilter::default(), after, limit).await
    }

    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error> {
        let mut found = self.store.events(from, limit).await?;
        if self.changes.load(Ordering::SeqCst) {
            let all = self.store.events(EventId::first_of(WRITER), usize::MAX).await?;
            let now = all.len() as u64;
            let listed = self.listed.swap(now, Ordering::SeqCst);
            found.retain(|(id, _)| id.number <= listed);
        }
        Ok(found)
    }
}

/// A store of 1200 certificates, two of them revoked, and three open issuances.
async fn busy() -> Busy {
    let busy = Busy::new();
    let store = busy.store();
    for number in 0..1200 {
        issue_at(store, 2 * number, NOW).await;
    }
    for number in [800, 802] {
        let event = event_of(Name::CertificateRevoked, number);
        store.revoke(&serial(number), revocation(number), event).await.unwrap();
    }
    for number in [3001, 3003, 3005] {
        store.begin(intent(number, number), Conditions::default()).await.unwrap();
    }
    store.void(&serial(3005), event_of(Name::IssuanceVoided, 3005)).await.unwrap();
    store.begin(intent(3007, 3007), Conditions::default()).await.unwrap();
    store.compare_and_set("ca.default", None, &[7]).await.unwrap();
    store.add_account(account("old"), event(Name::AccountAdded, 1)).await.unwrap();
    busy
}

async fn cut(busy: Busy) -> Cut<Busy> {
    Cut { look: Duration::ZERO, ..Cut::new(busy, at(1)).await.unwrap() }
}

#[tokio::test]
async fn a_cut_is_the_store_at_one_point_in_time_despite_later_changes() {
    let busy = busy().await;
    let mut then = all(busy.store()).await;
    // Open at the cut and ended since: left out.
    let ended = [serial(3001), serial(3003)];
    then.retain(|item| match item {
        Item::Issuance(one) => !ended.contains(&one.intent.serial),
        _ => true,
    });
    let cut = cut(busy).await;
    cut.source.changes.store(true, Ordering::SeqCst);
    let mut file = Vec::new();
    let summary = export(&cut, &mut file, &mut |_, _| {}).await.unwrap();
    assert!(cut.source.pages.load(Ordering::SeqCst) > 3, "it changed during the export");
    assert!(all(cut.source.store()).await.len() > then.len() + 10);

    let target = MemoryStore::new(Arc::new(NoTrail));
    let mut again = || -> Result<Box<dyn crate::store::transfer::Items>, _> {
        Ok(Box::new(Export::new(&*file)?))
    };
    assert_eq!(import(&mut again, &target, &mut |_, _| {}).await.unwrap(), summary);
    let imported = all(&target).await;
    assert_eq!(imported.len(), then.len());
    for (imported, then) in imported.iter().zip(&then) {
        assert_eq!(imported, then);
    }
    // An export of the same store at rest has the same digest.
    let still = export(&(&target as &dyn Store), &mut Vec::new(), &mut |_, _| {}).await.unwrap();
    assert_eq!(still, summary);
}

#[tokio::test]
async fn a_cut_of_a_store_at_rest_is_all_of_it() {
    let busy = busy().await;
    let then = all(busy.store()).await;
    let cut = cut(busy).await;
    let (mut walk, mut items) = (Walk::new(&cut), Vec::new());
    while let Some(item) = crate::store::transfer::Items::next(&mut walk).await.unwrap() {
        items.push(item);
    }
    assert!(items == then);
}

#[tokio::test]
async fn an_account_is_in_the_cut_together_with_its_event() {
    let busy = busy().await;
    busy.new_account.store(true, Ordering::SeqCst);
    let cut = cut(busy).await;
    let names: Vec<String> =
        cut.accounts().await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["new", "old"]);
    let last = cut.last[&WRITER];
    let events = cut.events(EventId { writer: WRITER, number: last }, 9).await.unwrap();
    assert_eq!(events[0].1.name, Name::AccountAdded);
    assert_eq!(events[0].1.detail("account"), Some("new"));
}

#[tokio::test]
async fn records_without_an_event_are_not_hidden() {
    let busy = busy().await;
    let with_certificate = busy.store.find(&serial(0)).await.unwrap().unwrap();
    let mut planted = Arc::unwrap_or_clone(with_certificate);
    planted.intent = intent(1, 1);
    busy.store.import(vec![Item::Issuance(Arc::new(planted.clone()))]).await.unwrap();
    let cut = cut(busy).await;
    let page = cut.issuances(None, 3).await.unwrap();
    assert_eq!(*page[1], planted);
}
