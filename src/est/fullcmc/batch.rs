//! batchRequests (RFC 5272 §6.17): messages within a message, from an RA.

use super::{
    CmcReply, FullRequest,
    controls::{Controls, all_different},
    identity::Asker,
    stop::Stop,
};
use crate::{
    est::{Endpoint, Service},
    pki::cmc::{BodyPartId, CmcError, FailInfo, PkiData, message::TaggedContentInfo},
};
use der::Encode;

/// Depth of nested messages: an RA's batch, which must not contain another batch.
const MAX_DEPTH: u8 = 1;

/// A batchRequests control, and the messages that it names.
pub(super) type Batch = (BodyPartId, Vec<Vec<u8>>);

impl Service {
    /// Processes each message of a batch and adds its answer to the reply. An error in one message
    /// does not affect the others.
    pub(super) async fn answer_batch(
        &self,
        endpoint: &Endpoint,
        asker: &Asker<'_>,
        messages: Vec<Vec<u8>>,
        depth: u8,
        reply: &mut CmcReply,
    ) -> Result<(), Stop> {
        for message in messages {
            let inner = FullRequest { message: &message, ..asker.request };
            let answered = self.process(endpoint, &asker.identity, inner, depth + 1).await;
            let answer = self.finished(endpoint, answered).await?;
            reply.cms.push(answer.der);
        }
        Ok(())
    }
}

/// Returns the messages of each batch.
pub(super) fn batch(
    data: &PkiData<'_>,
    controls: &Controls<'_>,
    depth: u8,
) -> Result<Vec<Batch>, CmcError> {
    let one = |part: BodyPartId, id: &BodyPartId| {
        let object: Option<&TaggedContentInfo<'_>> =
            data.cms.iter().find(|object| object.body_part_id == *id);
        let object = object.and_then(|object| object.content_info.to_der().ok());
        object.ok_or_else(|| {
            let reason =
                format!("batchRequests names {id}, which is no message in the cmsSequence");
            CmcError::part(FailInfo::BadRequest, part, reason)
        })
    };
    let mut out = Vec::new();
    for (part, ids) in &controls.batch {
        if depth >= MAX_DEPTH || !out.is_empty() {
            let reason = "one batch in a message, and none inside a batch";
            return Err(CmcError::part(FailInfo::BadRequest, *part, reason));
        }
        // Else a small message could ask for the same work thousands of times.
        if ids.is_empty() || !all_different(ids) {
            let reason = "batchRequests names at least one message, and none twice";
            return Err(CmcError::part(FailInfo::BadRequest, *part, reason));
        }
        let messages = ids.iter().map(|id| one(*part, id)).collect::<Result<_, _>>()?;
        out.push((*part, messages));
    }
    Ok(out)
}
