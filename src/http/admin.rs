//! The operator's interface over HTTP: JSON under `/v1/`.

use super::{
    Answer,
    body::{self, Limits},
};
use crate::{
    admin::{Admin, Error},
    api,
    types::Actor,
};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use percent_encoding::percent_decode_str;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

const LIMITS: Limits = Limits { size: 64 << 10, time: Duration::from_secs(10) };

/// Answers one request of this operator.
pub async fn handle<B>(admin: &Admin, actor: &Actor, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let segments: Option<Vec<&str>> =
        path.strip_prefix("/v1/").map(|rest| rest.split('/').collect());
    let decoded = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
    match (&head.method, segments.as_deref().unwrap_or_default()) {
        (&Method::GET, ["certificates"]) => match query(head.uri.query().unwrap_or_default()) {
            Ok(query) => reply(admin.certificates(&query).await),
            Err(fault) => reply::<()>(Err(fault)),
        },
        (&Method::GET, ["certificates", serial]) => {
            reply(admin.certificate(&decoded(serial)).await)
        }
        (&Method::GET, ["cas"]) => reply(Ok(admin.cas())),
        (&Method::GET, ["users"]) => reply(admin.users().await),
        (&Method::POST, ["certificates", serial, "revocation"]) => match json_of(body).await {
            Ok(new) => reply(admin.revoke(&decoded(serial), &new, actor.clone()).await),
            Err(fault) => reply::<()>(Err(fault)),
        },
        (&Method::POST, ["users"]) => match json_of(body).await {
            Ok(new) => reply(admin.add_user(new, actor.clone()).await),
            Err(fault) => reply::<()>(Err(fault)),
        },
        (&Method::DELETE, ["users", name]) => {
            reply(admin.remove_user(&decoded(name), actor.clone()).await)
        }
        (_, ["certificates"] | ["certificates", _] | ["cas"]) => not_allowed("GET"),
        (_, ["certificates", _, "revocation"]) => not_allowed("POST"),
        (_, ["users"]) => not_allowed("GET, POST"),
        (_, ["users", _]) => not_allowed("DELETE"),
        _ => reply::<()>(Err(Error::NotFound(format!("path {path}")))),
    }
}

/// Reads the body.
async fn json_of<B, T>(body: B) -> Result<T, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T: DeserializeOwned,
{
    let invalid = |fault: String| Error::Invalid { seen: "the body".to_owned(), fault };
    let octets = body::read(body, LIMITS).await.map_err(|fault| invalid(fault.to_string()))?;
    serde_json::from_slice(&octets).map_err(|fault| invalid(fault.to_string()))
}

fn query(text: &str) -> Result<api::CertificateQuery, Error> {
    serde_urlencoded::from_str(text)
        .map_err(|fault| Error::Invalid { seen: text.to_owned(), fault: fault.to_string() })
}

fn reply<T: Serialize>(outcome: Result<T, Error>) -> Answer {
    match outcome {
        Ok(value) => json(StatusCode::OK, &value),
        Err(fault) => {
            let status = match &fault {
                Error::Invalid { .. } => StatusCode::BAD_REQUEST,
                Error::NotFound(_) => StatusCode::NOT_FOUND,
                Error::Exists(_) => StatusCode::CONFLICT,
                Error::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
                Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            json(status, &api::Refusal { error: fault.to_string(), remedy: fault.remedy() })
        }
    }
}

fn not_allowed(methods: &'static str) -> Answer {
    let refusal =
        api::Refusal { error: "method not allowed".to_owned(), remedy: format!("use {methods}") };
    let mut answer = json(StatusCode::METHOD_NOT_ALLOWED, &refusal);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    // These types always serialize: strings and numbers in structs.
    let octets = serde_json::to_vec(value).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(octets)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
