//! Lines that unauthenticated clients cause in the audit trail (attack 3).

use crate::common::*;
use estd::telemetry::{
    LimitedTrail,
    audit::{Event, LeftOut, Trail},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// A server whose trail is limited, as that of the program is.
async fn limited() -> (TestServer, Arc<LimitedTrail>) {
    let trail = OnceLock::new();
    let wrap = |events: Arc<dyn Trail>, clock| -> Arc<dyn Trail> {
        Arc::clone(trail.get_or_init(|| Arc::new(LimitedTrail::new(events, clock)))) as _
    };
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_behind(folder, "", "memory", NOW, wrap).await;
    (server, trail.into_inner().unwrap())
}

fn detail<'a>(event: &'a Event, name: &str) -> &'a str {
    event.detail(name).unwrap()
}

const NOWHERE: &str = "GET /.well-known/est/nowhere/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn nonsense_gets_ten_lines_a_minute_and_a_good_client_is_in_the_trail_at_once() {
    let (server, trail) = limited().await;
    let mut connection = server.connect().await;
    for _ in 0..3000 {
        assert_eq!(connection.send(NOWHERE).await.status, 404);
    }
    let (csr, _) = new_csr(&["-subj", "/CN=good"]);
    // The load continues, and the event is stored before the reply arrives.
    assert_eq!(server.enroll(&csr).await.status, 200);
    assert_eq!(server.events_named("certificate.issued").len(), 2, "the server's own and this");
    for _ in 0..500 {
        assert_eq!(connection.send(NOWHERE).await.status, 404);
    }
    assert_eq!(server.events_named("request.rejected").len(), 10);
    trail.summarize();
    assert!(server.events_named("request.summary").is_empty(), "the minute is not over");

    server.clock.advance(Duration::from_secs(60));
    trail.summarize();
    let [summary] = &server.events_named("request.summary")[..] else { panic!("one summary") };
    assert_eq!(detail(summary, "rejections"), "3490");
    assert_eq!(detail(summary, "rules"), "http.path: 3490");
    assert_eq!(detail(summary, "more"), "3490 more like these from 127.0.0.1 in the last 60 s");
    assert_eq!(trail.left_out(), LeftOut { rejections: 3490, challenges: 0, lost: 0 });

    // Another minute: lines again, and the end of the server ends the minute.
    for _ in 0..15 {
        connection.send(NOWHERE).await;
    }
    trail.finish();
    assert_eq!(server.events_named("request.rejected").len(), 20);
    let summaries = server.events_named("request.summary");
    assert_eq!(detail(summaries.last().unwrap(), "rejections"), "5");
}

/// First-user finding 14.
#[tokio::test]
async fn a_challenge_that_is_answered_leaves_no_line() {
    let (server, trail) = limited().await;
    let (csr, _) = new_csr(&["-subj", "/CN=d"]);
    let without = post("simpleenroll", &csr, "");
    let rejected = |server: &TestServer| server.events_named("enrollment.rejected");
    assert_eq!(server.send(&without).await.status, 401);
    assert_eq!(server.enroll(&csr).await.status, 200);
    server.clock.advance(Duration::from_secs(60));
    trail.summarize();
    assert!(rejected(&server).is_empty());
    assert_eq!(trail.left_out(), LeftOut { rejections: 0, challenges: 1, lost: 0 });

    // No client answers this challenge.
    assert_eq!(server.send(&without).await.status, 401);
    assert!(rejected(&server).is_empty());
    server.clock.advance(Duration::from_secs(60));
    trail.summarize();
    let [event] = &rejected(&server)[..] else { panic!("one line") };
    assert_eq!(detail(event, "status"), "401");
    // A wrong password is no challenge.
    let wrong = post("simpleenroll", &csr, &basic("tester", "wrong"));
    assert_eq!(server.send(&wrong).await.status, 401);
    assert_eq!(rejected(&server).len(), 2);
}

/// The trail has every rejection of an authenticated client.
#[tokio::test]
async fn rejections_of_authenticated_clients_are_not_limited() {
    let (server, _trail) = limited().await;
    let mut connection = server.connect().await;
    for _ in 0..30 {
        let bad = post("simpleenroll", b"nonsense", &basic("tester", PASSWORD));
        assert_eq!(connection.send(bad).await.status, 400);
    }
    assert_eq!(server.events_named("enrollment.rejected").len(), 30);
}
