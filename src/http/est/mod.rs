//! EST over HTTP (RFC 7030 §3.2, §4): the one way through for every request, and a file for what
//! each operation sends back.

mod cacerts;
mod csrattrs;
mod enroll;
mod fullcmc;
mod serverkeygen;

use super::{
    Answer, Error,
    body::{self, Limits},
    framing::Framing,
    headers,
    progress::Phase,
    response,
    route::{self, Route},
};
use crate::{
    clock::Clock,
    entropy::Entropy,
    est::{self, Endpoint, Enrollment, Service},
    pki::base64::{self, Layout},
    policy::Base64Form,
    ra::Identity,
    telemetry::audit::{Event, Facts, Name, Stranger, Trail},
    types::{Actor, Code, Fault, Operation, Origin, Peer, RequestId, Serial},
};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Version,
    body::{Body, Bytes},
    header::{AUTHORIZATION, CONNECTION, EXPECT, USER_AGENT},
};
use std::{fmt, sync::Arc, time::Duration};

/// What a connection's requests are handled with.
#[derive(Clone)]
pub struct Context {
    /// The operations.
    pub service: Arc<Service>,
    /// The client at the other end.
    pub peer: Arc<Peer>,
    /// Where refusals are told.
    pub trail: Arc<dyn Trail>,
    /// Tells when.
    pub clock: Arc<dyn Clock>,
    /// For request ids.
    pub entropy: Arc<dyn Entropy>,
    /// Octets of a body at most.
    pub max_body: usize,
    /// Time for a body.
    pub body_timeout: Duration,
}

/// What became known of a request while it was handled, for the event if it is refused.
#[derive(Default)]
struct Known {
    route: Option<Route>,
    actor: Option<Actor>,
    /// Whether it came with credentials, whatever they are worth.
    sent_credentials: bool,
    facts: Facts,
}

/// Answers one request. Never fails: what goes wrong becomes a refusal.
pub async fn handle<B>(context: &Context, framing: &Framing, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    framing.begins(Phase::Request);
    let mut random = [0u8; 8];
    let entropy = context.entropy.fill(&mut random);
    let id = RequestId::new(random);
    let limits = Limits { size: context.max_body, time: context.body_timeout };
    let expects = request.headers().contains_key(EXPECT);
    let version = request.version();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());

    let sent_credentials = request.headers().contains_key(AUTHORIZATION);
    let mut known = Known { sent_credentials, ..Known::default() };
    let mut body = Some(request);
    let outcome = match entropy {
        Ok(()) => answer(context, framing, &mut known, &mut body, limits, &id).await,
        Err(fault) => Err(internal(fault)),
    };
    let mut answer = match outcome {
        Ok(answer) => answer,
        Err(fault) => {
            if let Some(unread) = body.filter(|_| !expects) {
                framing.begins(Phase::Body);
                body::drain(unread.into_body(), limits).await;
            }
            let answer = refuse(context, &known, &method, &path, fault, &id).await;
            if answer.status() == StatusCode::UNAUTHORIZED {
                framing.has_challenge();
            }
            answer
        }
    };
    // The connection's binding has served, and nothing else will be bound to it (D-05).
    if framing.ends_here() || context.peer.spent.is_spent() {
        response::close(&mut answer);
    }
    if version == Version::HTTP_2 {
        // A request says nothing about its connection there (RFC 9113 §8.2.2).
        answer.headers_mut().remove(CONNECTION);
    }
    framing.next();
    answer
}

/// A request on its way to its operation, its body unread.
struct Exchange<'a> {
    context: &'a Context,
    framing: &'a Framing,
    known: &'a mut Known,
    operation: Operation,
    endpoint: Arc<Endpoint>,
    limits: Limits,
    id: &'a RequestId,
}

impl<'a> Exchange<'a> {
    /// Reads what is posted: the type and announced size of the body are looked at first, then who
    /// asks, and only then is the body read (R-7030-4.2-a, R-9110-10.1.1-a).
    async fn posted<B>(self, request: &mut Option<Request<B>>) -> Result<Posted<'a>, Error>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { context, framing, known, operation, endpoint, limits, id } = self;
        let Some(head) = request.as_ref() else { return Err(Error::NotFound) };
        if let Some(wanted) = route::media_type(operation) {
            headers::check_media_type(head.headers(), wanted)?;
        }
        if operation == Operation::FullCmc {
            headers::check_cmc_request(head.headers())?;
        }
        body::check_announced(head.headers(), limits)?;
        let credentials = headers::credentials(head)?;
        let identity = context
            .service
            .authenticate(
                &endpoint,
                operation,
                &context.peer,
                credentials.as_ref(),
                &mut known.facts,
            )
            .await?;
        known.actor = Some(identity.actor.clone());
        context.trail.authenticated(Origin::of(context.peer.address.ip()));
        let Some(request) = request.take() else { return Err(Error::NotFound) };
        framing.begins(Phase::Body);
        let octets = body::read(request.into_body(), limits).await?;
        framing.begins(Phase::Request);
        Ok(Posted { context, known, operation, endpoint, id, identity, octets })
    }
}

/// A request whose body is read.
struct Posted<'a> {
    context: &'a Context,
    known: &'a Known,
    operation: Operation,
    endpoint: Arc<Endpoint>,
    id: &'a RequestId,
    /// Who posts.
    identity: Identity,
    /// The body.
    octets: Bytes,
}

impl Posted<'_> {
    /// The CSR in the body, as the label takes it (D-19, D-20).
    fn csr(&self) -> Result<base64::Body, Error> {
        let rules = self.endpoint.rules();
        Ok(base64::decode_csr(&self.octets, rules.pem, rules.der).map_err(est::Error::from)?)
    }

    /// What is asked for with the CSR in the body.
    fn enrollment<'a>(&'a self, csr: &'a base64::Body) -> Enrollment<'a> {
        Enrollment {
            operation: self.operation,
            csr: &csr.der,
            peer: &self.context.peer,
            request_id: self.id,
            adapted: match csr.form {
                base64::Form::Base64 => &[],
                base64::Form::Pem => &["PEM read as base64"],
                base64::Form::Der => &["DER taken without base64"],
            },
        }
    }

    /// The event of a certificate that an equal request had got before.
    fn repeated(&self, serial: &Serial, first_request: &RequestId) -> Event {
        Event::new(self.context.clock.now(), Name::EnrollmentRepeated, self.identity.actor.clone())
            .request(self.id.clone())
            .with("serial", serial)
            .with("first_request", first_request)
    }
}

async fn answer<B>(
    context: &Context,
    framing: &Framing,
    known: &mut Known,
    request: &mut Option<Request<B>>,
    limits: Limits,
    id: &RequestId,
) -> Result<Answer, Error>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(head) = request.as_ref() else { return Err(Error::NotFound) };
    if framing.is_ambiguous() {
        return Err(Error::Header(Fault::new(
            Code::HttpFraming,
            "a request has Content-Length or Transfer-Encoding, not both (RFC 9112 section 6.3)",
            "both",
            "one of them",
        )));
    }
    headers::check_host(head.version(), head.uri(), head.headers())?;
    let route = route::parse(head.uri().path())?;
    let endpoint = Arc::clone(context.service.endpoint(route.label.as_ref())?);
    let operation = route.operation;
    if !endpoint.offers(operation) {
        return Err(Error::NotFound);
    }
    known.route = Some(route);
    if !route::takes(operation, head.method()) {
        return Err(Error::Method { allowed: route::allowed(operation) });
    }
    let exchange = Exchange { context, framing, known, operation, endpoint, limits, id };
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

/// A fault of our own.
fn internal(fault: impl fmt::Display) -> Error {
    Error::Est(est::Error::Internal(fault.to_string()))
}

/// How a client that sent no body reads base64 (D-02). Those that cannot read line breaks
/// (strongSwan, est-ca) do not say who they are; those that need them (libest) do.
fn layout_of_get(endpoint: &Endpoint, headers: &HeaderMap) -> Layout {
    let silent = !headers.contains_key(USER_AGENT);
    match endpoint.rules().base64 {
        Base64Form::Auto if silent => Layout::Line,
        Base64Form::Line => Layout::Line,
        Base64Form::Auto | Base64Form::Wrapped => Layout::Wrapped,
    }
}

/// A client whose own body came in one line may be unable to read line breaks (strongSwan); one
/// whose body came wrapped may be unable to read one long line (libest).
fn layout_of_post(endpoint: &Endpoint, sent: Layout) -> Layout {
    match endpoint.rules().base64 {
        Base64Form::Auto => sent,
        Base64Form::Line => Layout::Line,
        Base64Form::Wrapped => Layout::Wrapped,
    }
}

/// The challenges that go with a refusal; without them it is another one.
async fn challenged(context: &Context, known: &Known, fault: Error) -> (Error, Vec<String>) {
    let stale = match &fault {
        Error::Est(est::Error::Unauthenticated(_)) => false,
        Error::Est(est::Error::Stale(_)) => true,
        _ => return (fault, Vec::new()),
    };
    let challenges = async {
        let label = known.route.as_ref().and_then(|route| route.label.as_ref());
        let endpoint = context.service.endpoint(label)?;
        context.service.challenges(endpoint, stale).await
    };
    match challenges.await {
        Ok(challenges) => (fault, challenges),
        Err(instead) => (Error::Est(instead), Vec::new()),
    }
}

/// Describes a client that has not authenticated. One that sent nothing to authenticate with was
/// only asked for it.
fn stranger(context: &Context, known: &Known, fault: &Error) -> Stranger {
    let asked = matches!(fault, Error::Est(est::Error::Unauthenticated(_)));
    let sent = known.sent_credentials || context.peer.chain.is_some();
    Stranger { origin: Origin::of(context.peer.address.ip()), challenge: asked && !sent }
}

async fn refuse(
    context: &Context,
    known: &Known,
    method: &Method,
    path: &str,
    fault: Error,
    id: &RequestId,
) -> Answer {
    let (fault, challenges) = challenged(context, known, fault).await;
    let told = fault.told();
    let enrolling = known.route.as_ref().is_some_and(|route| route.operation.enrolls());
    let name = if enrolling { Name::EnrollmentRefused } else { Name::RequestRefused };
    let stranger = known.actor.is_none().then(|| stranger(context, known, &fault));
    let actor = known.actor.clone().unwrap_or_else(Actor::anonymous);
    let route = known.route.as_ref();
    let mut event = Event::new(context.clock.now(), name, actor)
        .request(id.clone())
        .with("status", told.status.as_u16())
        .with("rule", told.code)
        // The cause, with what the client is not told.
        .with("reason", &fault)
        .with_some("operation", route.map(|route| route.operation))
        .with_some("label", route.and_then(|route| route.label.as_ref()))
        // Of what a client chose, no more than tells it from others.
        .with("method", method.as_str().chars().take(20).collect::<String>())
        .with("path", path.chars().take(200).collect::<String>())
        .with("address", context.peer.address)
        .with_all(known.facts.clone().into_vec());
    event.stranger = stranger;
    context.trail.tell(None, &event);

    let mut answer = response::refusal(&told, &challenges, id);
    match &fault {
        Error::Method { allowed } => response::allow(&mut answer, allowed),
        Error::MediaType(_) => {
            if let Some(wanted) = route.and_then(|route| route::media_type(route.operation)) {
                response::accept(&mut answer, wanted);
            }
        }
        _ => {}
    }
    // Bouncy Castle takes a 404 for an answer here, and throws if it has a body. By the path alone: an
    // unknown label must look like an operation that is not offered (R-7030-3.2.2-g).
    if told.status == StatusCode::NOT_FOUND && path.ends_with("/csrattrs") {
        response::wordless(&mut answer, &told, id);
    }
    // After a body of unknown length nothing on this connection can be believed.
    if matches!(told.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
        || matches!(fault, Error::Header(_))
    {
        response::close(&mut answer);
    }
    answer
}
