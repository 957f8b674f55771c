//! Exporting the audit: a file that is written while it is read.
//!
//! Nothing is gathered: what a message of the stream holds goes out before the next one is asked for. Where an export ends early, its last
//! chunk is missing, which HTTP tells; a JSON export also lacks its last line.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use coffre_audit_proof::export::{CSV_HEADER, Entry, Header, Lines, csv_row};
use coffre_audit_proof::filter_text::filter_text;
use coffre_audit_proof::proof::before;
use coffre_audit_proof::tree::Hash;
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::{
    Checkpoint, GetInclusionProofRequest, GetLatestCheckpointRequest, StreamEntriesRequest, StreamEntriesResponse,
};
use coffre_proto::query::v1::Filter;
use coffre_types::{Clock as _, SystemClock};
use futures_util::StreamExt as _;
use futures_util::stream::{self, try_unfold};
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use tonic::Streaming;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{ListBody, invalid, read_query};
use crate::request::{App, JsonBody};

/// What a file may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Ndjson,
    Csv,
}

impl Form {
    /// Reads the first media type of `Accept` that is offered; JSON where there is none.
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut asked = false;
        for line in headers.get_all(ACCEPT) {
            let ranges = line.to_str().unwrap_or_default().split(',');
            for range in ranges.map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()) {
                match range.as_str() {
                    "" => continue,
                    "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/*" | "*/*" => {
                        return Ok(Self::Ndjson);
                    }
                    "text/csv" | "text/*" => return Ok(Self::Csv),
                    _ => asked = true,
                }
            }
        }
        if asked {
            return Err(invalid("Accept", "must allow application/x-ndjson or text/csv"));
        }
        Ok(Self::Ndjson)
    }

    fn headers(self) -> [(http::HeaderName, HeaderValue); 2] {
        let (kind, name) = match self {
            Self::Ndjson => ("application/x-ndjson", "attachment; filename=\"audit.ndjson\""),
            Self::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"audit.csv\""),
        };
        [(CONTENT_TYPE, HeaderValue::from_static(kind)), (CONTENT_DISPOSITION, HeaderValue::from_static(name))]
    }
}

/// Exports audit entries in the order of the log, as lines of JSON or as CSV.
///
/// Lines of JSON hold what a verifier needs: the entries in their canonical form, the latest checkpoint and the key of its signature. An export
/// of all entries reaches to that checkpoint, which is at most a minute old; `POST /v1/audit/checkpoints` makes a new one. In CSV, texts that
/// a table would take for formulas begin with an apostrophe. `sort` and `page` of the body are not looked at.
#[utoipa::path(
    post, path = "/v1/audit/messages/export", tag = "Audit", operation_id = "exportAuditEntries",
    request_body(content = Option<ListBody>),
    params(("Accept" = Option<String>, Header, description = "`application/x-ndjson` or `text/csv`; without it the former")),
    responses(
        (status = 200, description = "The entries", content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 400, description = "An unknown field, or another media type", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
    )
)]
pub(crate) async fn export(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let form = Form::of(&headers)?;
    let filter = read_query(body)?.filter;
    let checkpoint = match form {
        Form::Ndjson => latest_checkpoint(&app, &caller).await?,
        Form::Csv => None,
    };
    let mut export = Export { app, caller, filter, form, checkpoint, next: 0, lines: None, until: None };
    // Before the answer begins: what is refused has a status, and what there is has a receipt.
    let mut entries = export.open(export.caller.clone()).await?;
    let first = entries.message().await?.ok_or_else(|| Refusal::internal("a stream of entries without a message"))?;
    let begun = export.begin(first).await?;
    let rest = try_unfold((export, Some(entries)), |(export, entries): (Export, _)| async move {
        let chunk = export.next_chunk(entries).await;
        chunk.map_err(|fault| {
            tracing::debug!(?fault, "an export ended early");
            io::Error::other("the export ended early")
        })
    });
    let begun = stream::once(async { Ok(begun) });
    let body = Body::from_stream(begun.chain(rest));
    Ok((form.headers(), body).into_response())
}

async fn latest_checkpoint(app: &App, caller: &Caller) -> Result<Option<(Checkpoint, String)>, Failure> {
    let request = caller.beside().request(GetLatestCheckpointRequest {});
    match app.clients.proofs().get_latest_checkpoint(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            Ok(answer.checkpoint.map(|checkpoint| (checkpoint, answer.verifier_key)))
        }
        // A log that was begun a moment ago has none: its entries can be read all the same.
        Err(status) if Refusal::from_status(&status).reason() == Reason::AuditCheckpointNotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// An export on its way.
struct Export {
    app: App,
    caller: Caller,
    filter: Option<Filter>,
    form: Form,
    /// With the key that checks it.
    checkpoint: Option<(Checkpoint, String)>,
    next: i64,
    lines: Option<Lines>,
    /// Where an export of everything ends: at its checkpoint.
    until: Option<i64>,
}

/// What is left of an export, and what to send next.
type Chunk = Option<(Bytes, (Export, Option<Streaming<StreamEntriesResponse>>))>;

impl Export {
    async fn open(&self, caller: Caller) -> Result<Streaming<StreamEntriesResponse>, Failure> {
        let request = StreamEntriesRequest {
            filter: self.filter.clone(),
            from_index: self.next,
            canonical: true,
            ..StreamEntriesRequest::default()
        };
        Ok(self.app.clients.audit().stream_entries(caller.request(request)).await?.into_inner())
    }

    /// Writes what comes first.
    async fn begin(&mut self, first: StreamEntriesResponse) -> Result<Bytes, Failure> {
        let mut out = String::new();
        match self.form {
            Form::Csv => out.push_str(CSV_HEADER),
            Form::Ndjson => {
                let (note, verifier_key) = match &self.checkpoint {
                    Some((checkpoint, key)) => (checkpoint.note.clone(), key.clone()),
                    None => Default::default(),
                };
                let header = Header {
                    created_on: SystemClock.now().to_rfc3339_millis(),
                    checkpoint: note,
                    verifier_key,
                    ..Header::default()
                };
                let header = match first.everything {
                    true => self.whole(header, &first).await?,
                    false => {
                        let text = filter_text(self.filter.as_ref());
                        Header { filter: Some(text.unwrap_or_else(|| "one's own entries".to_owned())), ..header }
                    }
                };
                let (lines, line) = Lines::begin(header).map_err(|fault| Refusal::internal(&fault))?;
                self.lines = Some(lines);
                out.push_str(&line);
            }
        }
        self.write(first, &mut out)?;
        Ok(out.into())
    }

    /// Says in the first line of an export of everything what lies before its first entry, and ends it at the checkpoint.
    async fn whole(&mut self, header: Header, first: &StreamEntriesResponse) -> Result<Header, Failure> {
        let Some(size) = self.checkpoint.as_ref().map(|(checkpoint, _)| checkpoint.size) else { return Ok(header) };
        self.until = Some(size);
        let Some(entry) = first.entries.first().filter(|entry| entry.log_index > 0 && entry.log_index < size) else {
            return Ok(header);
        };
        let request = self.caller.beside().request(GetInclusionProofRequest { id: entry.id.clone(), size });
        let proof = self.app.clients.proofs().get_inclusion_proof(request).await?.into_inner();
        let hashes = proof.hashes.into_iter().map(Hash::try_from).collect::<Result<Vec<_>, _>>();
        let numbers = (u64::try_from(entry.log_index), u64::try_from(size));
        let tree = match (hashes, numbers) {
            (Ok(hashes), (Ok(index), Ok(size))) => before(index, size, &hashes),
            _ => None,
        };
        let tree =
            tree.ok_or_else(|| Refusal::internal("the audit's proof has another length than its entry asks for"))?;
        Ok(header.after(&tree))
    }

    /// Writes the entries of a message.
    fn write(&mut self, message: StreamEntriesResponse, out: &mut String) -> Result<(), Refusal> {
        self.next = message.next_index;
        for entry in &message.entries {
            if self.until.is_some_and(|until| entry.log_index >= until) {
                break;
            }
            let line = Entry::of(entry).ok_or_else(|| Refusal::internal("an entry without its canonical form"))?;
            match &mut self.lines {
                Some(lines) => out.push_str(&lines.entry(&line).map_err(|fault| Refusal::internal(&fault))?),
                None => out.push_str(&csv_row(&line)),
            }
        }
        Ok(())
    }

    /// Sends on what comes next; `None` after the end.
    async fn next_chunk(mut self, entries: Option<Streaming<StreamEntriesResponse>>) -> Result<Chunk, Failure> {
        let Some(mut entries) = entries else { return Ok(None) };
        let message = match self.until.is_some_and(|until| self.next >= until) {
            true => None,
            false => entries.message().await?,
        };
        let mut out = String::new();
        match message {
            Some(message) => {
                self.write(message, &mut out)?;
                Ok(Some((out.into(), (self, Some(entries)))))
            }
            None => {
                if let Some(lines) = &self.lines {
                    out.push_str(&lines.end().map_err(|fault| Refusal::internal(&fault))?);
                }
                Ok(Some((out.into(), (self, None))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_form_that_the_client_takes() {
        let form = |accept: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in accept {
                headers.append(ACCEPT, HeaderValue::from_static(line));
            }
            Form::of(&headers).ok()
        };
        for (accept, expected) in [
            (&[][..], Some(Form::Ndjson)),
            (&[""], Some(Form::Ndjson)),
            (&["*/*"], Some(Form::Ndjson)),
            (&["application/x-ndjson"], Some(Form::Ndjson)),
            (&["text/csv"], Some(Form::Csv)),
            (&["text/html, Text/CSV; header=present"], Some(Form::Csv)),
            (&["text/html", "text/csv;q=0.5, */*"], Some(Form::Csv)),
            (&["application/pdf"], None),
        ] {
            assert_eq!(form(accept), expected, "{accept:?}");
        }
    }
}
