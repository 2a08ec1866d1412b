//! Paths, methods and HTTP itself (requirements of section 1).

use crate::common::*;

#[tokio::test]
async fn r_7030_3_2_2_a_everything_is_below_the_well_known_path() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/.well-known/est/cacerts").await.status, 200);
    assert_eq!(server.get("/est/cacerts").await.status, 404);
}

/// proves: R-7030-3.2.2-e
#[tokio::test]
async fn r_7030_3_2_2_b_the_three_operations_are_there_with_and_without_labels() {
    let server = TestServer::start_with("[label.a]\n[label.b]").await;
    for prefix in ["", "a/", "b/"] {
        assert_eq!(server.get(&format!("/.well-known/est/{prefix}cacerts")).await.status, 200);
        // A password is no help for a renewal.
        for (operation, status) in [("simpleenroll", 401), ("simplereenroll", 403)] {
            let reply = server.send(post(&format!("{prefix}{operation}"), b"x", "")).await;
            assert_eq!(reply.status, status, "{operation}");
        }
    }
}

#[tokio::test]
async fn r_7030_3_2_2_c_what_is_not_offered_is_404() {
    let server = TestServer::start_with("[est.csrattrs]\noffer = false").await;
    assert_eq!(server.get("/.well-known/est/csrattrs").await.status, 404);
    for operation in ["fullcmc", "serverkeygen"] {
        assert_eq!(server.send(post(operation, b"x", "")).await.status, 404);
    }
}

#[tokio::test]
async fn r_7030_3_2_2_g_an_unknown_label_looks_like_an_unknown_operation() {
    let server = TestServer::start_with("[label.known]").await;
    let texts: Vec<String> = {
        let mut texts = Vec::new();
        for path in [
            "/.well-known/est/nope/cacerts",
            "/.well-known/est/nope",
            "/.well-known/est/known/nope",
        ] {
            let reply = server.get(path).await;
            assert_eq!(reply.status, 404);
            texts.push(reply.text().split(" (request").next().unwrap().to_owned());
        }
        texts
    };
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

#[tokio::test]
async fn r_7030_3_2_2_i_a_wrong_method_is_405_with_allow() {
    let server = TestServer::start().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let reply = server
            .send(format!(
                "{method} /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        assert_eq!((reply.status, reply.header("Allow")), (405, Some("GET, HEAD")), "{method}");
    }
    for operation in ["simpleenroll", "simplereenroll"] {
        let reply = server.get(&format!("/.well-known/est/{operation}")).await;
        assert_eq!((reply.status, reply.header("Allow")), (405, Some("POST")));
    }
}

#[tokio::test]
async fn r_7030_3_2_2_j_head_gives_the_same_header_without_a_body() {
    let server = TestServer::start().await;
    let mut connection = server.connect().await;
    let head = connection
        .send("HEAD /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\nUser-Agent: t\r\n\r\n")
        .await;
    let get = connection
        .send("GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\nUser-Agent: t\r\n\r\n")
        .await;
    assert_eq!((head.status, get.status), (200, 200));
    for name in ["Content-Type", "Content-Length"] {
        assert_eq!(head.header(name), get.header(name));
    }
    assert!(head.body.is_empty() && !get.body.is_empty());
}

#[tokio::test]
async fn r_7030_3_2_2_k_the_uri_alone_makes_a_re_enrolment() {
    let server = TestServer::start().await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=other"]);
    let mut connection = server.connect_as(&device).await;
    let credentials = basic("tester", PASSWORD);
    // The same CSR and the same client: a first enrollment is granted, a re-enrollment is not.
    assert_eq!(connection.send(post("simplereenroll", &csr, &credentials)).await.status, 403);
    assert_eq!(connection.send(post("simpleenroll", &csr, &credentials)).await.status, 200);
}

/// proves: R-7030-4.2.1-e
#[tokio::test]
async fn r_7030_3_2_a_several_requests_on_one_connection() {
    let server = TestServer::start().await;
    let mut connection = server.connect().await;
    for number in 0..3 {
        let (csr, _) = new_csr(&["-subj", &format!("/CN=device-{number}")]);
        assert_eq!(
            connection
                .send("GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .status,
            200
        );
        assert_eq!(
            connection.send(post("simpleenroll", &csr, &basic("tester", PASSWORD))).await.status,
            200
        );
    }
}

#[tokio::test]
async fn r_7030_3_2_1_b_nothing_is_redirected() {
    let server = TestServer::start().await;
    for path in ["/.well-known/est/cacerts/", "/.well-known/est", "/", "/.well-known/est//cacerts"]
    {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn r_9110_10_1_1_a_expect_100_continue_gets_100_or_a_final_answer_before_the_body() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let body = wrapped(&csr);
    let head = |more: &str| {
        format!(
            "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: a\r\nContent-Type: application/pkcs10\r\n{more}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
    };
    let mut connection = server.connect().await;
    assert_eq!(connection.send(head("")).await.status, 401, "without the body");
    let mut connection = server.connect().await;
    assert_eq!(connection.send(head(&basic("tester", PASSWORD))).await.status, 100);
    assert_eq!(connection.send(&body).await.status, 200);
    let mut connection = server.connect().await;
    let huge = head(&basic("tester", PASSWORD))
        .replace(&format!("Content-Length: {}", body.len()), "Content-Length: 99999999");
    assert_eq!(connection.send(huge).await.status, 413, "without the body");
    let mut connection = server.connect().await;
    let other = head(&basic("tester", PASSWORD)).replace("application/pkcs10", "text/plain");
    assert_eq!(connection.send(other).await.status, 415, "without the body");
}

#[tokio::test]
async fn r_9110_10_1_1_b_http_1_0_gets_no_100() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let request = post(
        "simpleenroll",
        &csr,
        &format!("Expect: 100-continue\r\n{}", basic("tester", PASSWORD)),
    );
    let request = String::from_utf8(request).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    let reply = server.send(request).await;
    assert_eq!((reply.status, reply.start.as_str()), (200, "HTTP/1.0 200 OK"));
}

#[tokio::test]
async fn r_9112_7_1_a_chunked_bodies_are_read() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let mut request = format!(
        "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: a\r\nContent-Type: application/pkcs10\r\n{}Transfer-Encoding: chunked\r\n\r\n",
        basic("tester", PASSWORD)
    );
    for part in wrapped(&csr).as_bytes().chunks(50) {
        request.push_str(&format!(
            "{:x}\r\n{}\r\n",
            part.len(),
            std::str::from_utf8(part).unwrap()
        ));
    }
    request.push_str("0\r\n\r\n");
    assert_eq!(server.send(request).await.status, 200);
}

#[tokio::test]
async fn r_9112_6_3_a_a_body_of_doubtful_length_is_400_and_the_end_of_the_connection() {
    let server = TestServer::start().await;
    let start = "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: a\r\nContent-Type: application/pkcs10\r\n";
    for lengths in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 3x\r\n",
        "Content-Length: 0x3\r\n",
    ] {
        let mut connection = server.connect().await;
        let reply = connection.send(format!("{start}{lengths}\r\n0\r\n\r\n")).await;
        assert_eq!(reply.status, 400, "{lengths:?}");
        assert!(connection.is_closed().await, "{lengths:?}");
    }
}

/// proves: R-9112-6.3-b
#[tokio::test]
async fn answers_have_a_length_title_case_names_and_a_short_header() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for reply in [
        server.get("/.well-known/est/cacerts").await,
        server.enroll(&csr).await,
        server.enroll(b"garbage").await,
        server.send(post("simpleenroll", &csr, "")).await,
        server.get("/nope").await,
    ] {
        assert!(reply.header("Content-Length").is_some(), "{reply:?}");
        assert!(reply.header("Transfer-Encoding").is_none());
        for (name, _) in &reply.headers {
            let title =
                name.split('-').all(|part| part.starts_with(|c: char| c.is_ascii_uppercase()));
            assert!(title, "{name}");
        }
        let header: usize =
            reply.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        assert!(header + reply.start.len() + 4 < 1024, "strongSwan reads 1,024 bytes at once");
    }
}

#[tokio::test]
async fn r_9110_12_5_1_a_accept_is_ignored() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let reply = server
        .send(post(
            "simpleenroll",
            &csr,
            &format!("Accept: text/html\r\n{}", basic("tester", PASSWORD)),
        ))
        .await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_request_has_one_host() {
    let server = TestServer::start().await;
    for hosts in ["", "Host: a\r\nHost: b\r\n"] {
        let reply =
            server.send(format!("GET /.well-known/est/cacerts HTTP/1.1\r\n{hosts}\r\n")).await;
        assert_eq!(reply.status, 400, "{hosts:?}");
    }
    assert_eq!(server.send("GET /.well-known/est/cacerts HTTP/1.0\r\n\r\n").await.status, 200);
}
