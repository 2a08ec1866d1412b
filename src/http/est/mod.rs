//! EST over HTTP (RFC 7030 §3.2, §4): a thin adapter of the registration authority. It reads a
//! request, calls ([`ra::Call`]), and encodes the answer; each operation has a file for its answer.

mod cacerts;
mod csrattrs;
mod enroll;
mod fullcmc;
mod serverkeygen;

use super::{
    Answer, Error,
    body::{self, BodyLimits},
    error,
    framing::Framing,
    headers,
    progress::Phase,
    response, route,
};
use crate::{
    entropy::Entropy,
    est::{self, Endpoint, Service},
    pki::base64::{self, Layout},
    policy::Base64Form,
    ra::{self, Authenticated, Call, Cause, Peer},
    types::{Code, Label, Operation, Rejection, RequestId},
};
use hyper::{
    HeaderMap, Method, Request, Version,
    body::{Body, Bytes},
    header::{AUTHORIZATION, CONNECTION, EXPECT, USER_AGENT},
};
use std::{fmt, sync::Arc, time::Duration};

/// Everything that the requests of a connection need.
#[derive(Clone)]
pub struct RequestContext {
    /// The operations.
    pub service: Arc<Service>,
    /// The client at the other end.
    pub peer: Arc<Peer>,
    /// For request ids.
    pub entropy: Arc<dyn Entropy>,
    /// Bytes of a body at most.
    pub max_body: usize,
    /// Time for a body.
    pub body_timeout: Duration,
}

/// A request as recorded in the audit trail.
struct RequestHead {
    method: Method,
    path: String,
}

impl RequestHead {
    /// The facts of a rejection that is answered with this status.
    fn facts_of(&self, status: u16) -> Vec<(&'static str, String)> {
        // Cut: the client chose them.
        vec![
            ("status", status.to_string()),
            ("method", self.method.as_str().chars().take(20).collect()),
            ("path", self.path.chars().take(200).collect()),
        ]
    }
}

impl ra::Door for RequestHead {
    fn facts(&self, cause: Cause<'_>) -> Vec<(&'static str, String)> {
        let status = match cause {
            Cause::Error(error) => error::reply(error).status,
            Cause::Cmc(fail) => error::of_failure(fail).0,
        };
        self.facts_of(status.as_u16())
    }
}

/// Answers one request. Never fails: an error becomes an error reply.
pub async fn handle<B>(context: &RequestContext, framing: &Framing, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    framing.begins(Phase::Request);
    let mut random = [0u8; 8];
    let entropy = context.entropy.fill(&mut random);
    let id = RequestId::new(random);
    let limits = BodyLimits { size: context.max_body, time: context.body_timeout };
    let expects = request.headers().contains_key(EXPECT);
    let version = request.version();
    let head =
        RequestHead { method: request.method().clone(), path: request.uri().path().to_owned() };

    let has_credentials = request.headers().contains_key(AUTHORIZATION);
    let mut call = context.service.authority().call(&context.peer, &id, &head, has_credentials);
    let mut body = Some(request);
    let outcome = match entropy {
        Ok(()) => answer(context, framing, &mut call, &mut body, limits).await,
        Err(rejection) => Err(internal(rejection)),
    };
    let mut answer = match outcome {
        Ok(answer) => answer,
        Err(rejection) => {
            if let Some(unread) = body.filter(|_| !expects) {
                framing.begins(Phase::Body);
                body::drain(unread.into_body(), limits).await;
            }
            reject(framing, &call, &head, rejection).await
        }
    };
    // A spent channel binding serves no other CSR (D-05).
    if framing.ends_here() || context.peer.spent.is_spent() {
        response::close(&mut answer);
    }
    if version == Version::HTTP_2 {
        // Requests have no connection-specific fields there (RFC 9113 §8.2.2).
        answer.headers_mut().remove(CONNECTION);
    }
    framing.next();
    answer
}

/// A request before its operation, its body unread.
struct Exchange<'c, 'a> {
    service: &'a Service,
    framing: &'c Framing,
    call: &'c mut Call<'a>,
    operation: Operation,
    endpoint: &'a Endpoint,
    limits: BodyLimits,
}

impl<'c> Exchange<'c, '_> {
    /// Reads a posted body. Its type and announced size are checked first; then the client is
    /// authenticated; only then is the body read (R-7030-4.2-a, R-9110-10.1.1-a).
    async fn posted<B>(self, request: &mut Option<Request<B>>) -> Result<Posted<'c>, Error>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { service, framing, call, operation, endpoint, limits } = self;
        let Some(head) = request.as_ref() else { return Err(Error::NotFound) };
        if let Some(wanted) = route::media_type(operation) {
            headers::check_media_type(head.headers(), wanted)?;
        }
        if operation == Operation::FullCmc {
            headers::check_cmc_request(head.headers())?;
        }
        body::check_announced(head.headers(), limits)?;
        let credentials = headers::credentials(head)?;
        let client = call.authenticate(credentials.as_ref()).await?;
        let Some(request) = request.take() else { return Err(Error::NotFound) };
        framing.begins(Phase::Body);
        let bytes = body::read(request.into_body(), limits).await?;
        framing.begins(Phase::Request);
        Ok(Posted { service, endpoint, client, bytes })
    }
}

/// A request whose body is read.
struct Posted<'a> {
    service: &'a Service,
    endpoint: &'a Endpoint,
    /// The client.
    client: Authenticated<'a>,
    /// The body.
    bytes: Bytes,
}

impl Posted<'_> {
    /// Decodes the CSR of the body, in a form that the label accepts (D-19, D-20).
    fn csr(&self) -> Result<base64::Body, Error> {
        let rules = self.endpoint.rules();
        Ok(base64::decode_csr(&self.bytes, rules.pem, rules.der).map_err(est::Error::from)?)
    }
}

/// The adaptation to a client that sent its CSR in this form.
const fn adapted(csr: &base64::Body) -> &'static [&'static str] {
    match csr.form {
        base64::Form::Base64 => &[],
        base64::Form::Pem => &["PEM read as base64"],
        base64::Form::Der => &["DER accepted without base64"],
    }
}

async fn answer<'a, B>(
    context: &'a RequestContext,
    framing: &Framing,
    call: &mut Call<'a>,
    request: &mut Option<Request<B>>,
    limits: BodyLimits,
) -> Result<Answer, Error>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(head) = request.as_ref() else { return Err(Error::NotFound) };
    if framing.is_ambiguous() {
        return Err(Error::Header(Rejection::of(Code::HttpFraming, "both", "one of them")));
    }
    headers::check_host(head.version(), head.uri(), head.headers())?;
    let route = route::parse(head.uri().path())?;
    let service = &*context.service;
    let operation = route.operation;
    let endpoint = match service.endpoint(route.label.as_ref()) {
        Ok(endpoint) => &**endpoint,
        Err(rejection) => {
            let label = route.label.as_ref().map_or("", Label::as_str);
            call.note("cause", format_args!("there is no label {label}"));
            return Err(rejection.into());
        }
    };
    if !endpoint.offers(operation) {
        call.note("cause", format_args!("{operation} is off under this label"));
        return Err(Error::NotFound);
    }
    call.is_for(operation, endpoint.policy());
    if !route::accepts(operation, head.method()) {
        return Err(Error::Method { allowed: route::allowed(operation) });
    }
    let exchange = Exchange { service, framing, call, operation, endpoint, limits };
    match operation {
        Operation::CaCerts => Ok(cacerts::answer(&exchange, head.headers())),
        Operation::SimpleEnroll | Operation::SimpleReenroll => {
            enroll::answer(exchange.posted(request).await?).await
        }
        // In a box each: the connections of all other requests should not be larger for them.
        Operation::ServerKeyGen => {
            let posted = Box::pin(exchange.posted(request)).await?;
            Box::pin(serverkeygen::answer(posted)).await
        }
        Operation::CsrAttrs => Ok(csrattrs::answer(&exchange, head.headers())),
        Operation::FullCmc => {
            let posted = Box::pin(exchange.posted(request)).await?;
            Box::pin(fullcmc::answer(posted)).await
        }
    }
}

/// An error of this program.
fn internal(rejection: impl fmt::Display) -> Error {
    Error::Est(est::Error::Internal(rejection.to_string()))
}

/// The layout of base64 for a client that sent no body (D-02). Clients that cannot read line breaks
/// (strongSwan, est-ca) send no User-Agent; clients that need them (libest) do.
fn layout_of_get(endpoint: &Endpoint, headers: &HeaderMap) -> Layout {
    let silent = !headers.contains_key(USER_AGENT);
    match endpoint.rules().base64 {
        Base64Form::Auto if silent => Layout::Line,
        Base64Form::Line => Layout::Line,
        Base64Form::Auto | Base64Form::Wrapped => Layout::Wrapped,
    }
}

/// The layout of the client's own body. A client that sends one line may be unable to read line breaks
/// (strongSwan). A client that sends lines may be unable to read one long line (libest).
fn layout_of_post(endpoint: &Endpoint, sent: Layout) -> Layout {
    match endpoint.rules().base64 {
        Base64Form::Auto => sent,
        Base64Form::Line => Layout::Line,
        Base64Form::Wrapped => Layout::Wrapped,
    }
}

async fn reject(
    framing: &Framing,
    call: &Call<'_>,
    head: &RequestHead,
    rejection: Error,
) -> Answer {
    let rejection = match rejection {
        reported @ Error::Rejected(_) => reported,
        Error::Est(error) => Error::Rejected(call.reject(error).await),
        own => {
            let response = own.reply();
            call.reject_at_door(response.code, &own, head.facts_of(response.status.as_u16()));
            own
        }
    };
    let response = rejection.reply();
    let challenges: &[String] = match &rejection {
        Error::Rejected(rejected) => &rejected.challenges,
        _ => &[],
    };
    let mut answer = response::rejection(&response, challenges, call.id());
    match &rejection {
        Error::Method { allowed } => response::allow(&mut answer, allowed),
        Error::MediaType(_) => {
            if let Some(wanted) = call.operation().and_then(route::media_type) {
                response::accept(&mut answer, wanted);
            }
        }
        _ => {}
    }
    // Bouncy Castle reads a 404 as an answer here, and throws if it has a body. By the path alone: an
    // unknown label must look like an operation that is not offered (R-7030-3.2.2-g).
    if response.is_not_found() && head.path.ends_with("/csrattrs") {
        response::wordless(&mut answer, &response, call.id());
    }
    // After a body of unknown length, the rest of the connection cannot be parsed.
    if response.cuts_the_body() || matches!(rejection, Error::Header(_)) {
        response::close(&mut answer);
    }
    if response.is_unauthorized() {
        framing.has_challenge();
    }
    answer
}
