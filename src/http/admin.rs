//! The operator's interface over HTTP: JSON under `/v1/`.

use super::{
    Answer,
    body::{self, BodyLimits},
    error,
};
use crate::{
    admin::{Admin, Error, Handle},
    api::{
        self,
        call::{self, Method},
    },
    types::Actor,
};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body, Bytes},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use std::{pin::Pin, time::Duration};

const LIMITS: BodyLimits = BodyLimits { size: 256 << 10, time: Duration::from_secs(10) };

/// A supported call.
struct AdminEndpoint {
    method: Method,
    path: &'static str,
    answer: for<'a> fn(&'a Admin, &'a Actor, CallFields<'a>) -> AdminAnswer<'a>,
}

/// The parts of a request that hold the fields of its call.
struct CallFields<'a> {
    captured: Vec<(String, String)>,
    query: &'a str,
    body: Bytes,
}

type AdminAnswer<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

const fn endpoint<C: Handle>() -> AdminEndpoint {
    AdminEndpoint {
        method: C::METHOD,
        path: C::PATH,
        answer: |admin, actor, fields| Box::pin(answer::<C>(admin, actor, fields)),
    }
}

macro_rules! endpoints {
    ($($method:ident $path:literal: $call:ident => $answer:ty;)+) => {
        const ENDPOINTS: &[AdminEndpoint] = &[$(endpoint::<api::$call>()),+];
    };
}
api::each_call!(endpoints);

async fn answer<C: Handle>(admin: &Admin, actor: &Actor, fields: CallFields<'_>) -> Answer {
    let CallFields { captured, query, body } = fields;
    match call::parse::<C>(captured, query, &body) {
        Ok(call) => reply(call.handle(admin, actor).await),
        Err(error) => reply::<()>(Err(Error::Unreadable { path: C::PATH, error })),
    }
}

/// Answers one request of this operator.
pub async fn handle<B>(admin: &Admin, actor: &Actor, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let mut allowed = Vec::new();
    for endpoint in ENDPOINTS {
        let Some(captured) = call::captures(endpoint.path, path) else { continue };
        if head.method != *endpoint.method.as_str() {
            allowed.push(endpoint.method.as_str());
            continue;
        }
        let body = if endpoint.method == Method::Post {
            match body::read(body, LIMITS).await {
                Ok(body) => body,
                Err(error) => {
                    let (path, error) = (endpoint.path, error.to_string());
                    return reply::<()>(Err(Error::Unreadable { path, error }));
                }
            }
        } else {
            Bytes::new()
        };
        return (endpoint.answer)(admin, actor, CallFields { captured, query, body }).await;
    }
    if allowed.is_empty() {
        reply::<()>(Err(Error::NotFound(format!("path {path}"))))
    } else {
        not_allowed(&allowed.join(", "))
    }
}

fn reply<T: Serialize>(outcome: Result<T, Error>) -> Answer {
    match outcome {
        Ok(value) => json(&value),
        Err(rejection) => {
            let mut answer = json(&rejection.response());
            *answer.status_mut() = error::of_call(&rejection);
            answer
        }
    }
}

fn not_allowed(methods: &str) -> Answer {
    let response = api::ErrorResponse {
        error: "method not allowed".to_owned(),
        remedy: format!("use {methods}"),
        kind: api::ErrorKind::Invalid,
    };
    let mut answer = json(&response);
    *answer.status_mut() = error::NO_SUCH_METHOD;
    if let Ok(methods) = HeaderValue::from_str(methods) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

/// Encodes an answer of success.
fn json(value: &impl Serialize) -> Answer {
    // These types always serialize: strings and numbers in structs.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(bytes)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
