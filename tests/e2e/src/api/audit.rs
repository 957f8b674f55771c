//! Reading the audit.

use coffre_proto::audit::v1;
use coffre_proto::audit::v1::audit_service_client::AuditServiceClient;
use http::Method;
use serde_json::json;

use super::{Answer, Protocol, Session, rest};
use crate::model::{Entry, Filter, Page, Query};
use crate::operation;

impl Session {
    pub async fn query_entries(&self, query: &Query) -> Answer<Page<Entry>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, "/v1/audit/messages/list").json(query.json());
                self.rest(operation::LIST_ENTRIES, request)
                    .await
                    .map(|answer| Page::from_json(&answer.is(200), Entry::from_json))
            }
            Protocol::Grpc => {
                let request = v1::ListEntriesRequest { query: Some(query.proto()) };
                self.grpc(operation::LIST_ENTRIES, request).await.map(|answer: v1::ListEntriesResponse| {
                    Page::from_proto(answer.entries.into_iter().map(Entry::from_proto).collect(), answer.page)
                })
            }
        }
    }

    pub async fn get_entry(&self, id: &str) -> Answer<Entry> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_ENTRY, rest(Method::GET, format!("/v1/audit/messages/{id}")))
                .await
                .map(|answer| Entry::from_json(&answer.is(200))),
            Protocol::Grpc => self
                .grpc(operation::GET_ENTRY, v1::GetEntryRequest { id: id.to_owned() })
                .await
                .map(|answer: v1::GetEntryResponse| Entry::from_proto(answer.entry.unwrap())),
        }
    }
}

/// A checkpoint, in one form.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub size: i64,
    pub root: Vec<u8>,
    pub note: String,
}

impl Checkpoint {
    fn from_json(json: &serde_json::Value) -> Self {
        Self {
            size: json["size"].as_str().unwrap().parse().unwrap(),
            root: decoded(&json["rootHash"]),
            note: json["note"].as_str().unwrap().to_owned(),
        }
    }

    fn from_proto(proto: Option<v1::Checkpoint>) -> Self {
        let v1::Checkpoint { size, root_hash, note, .. } = proto.expect("an answer holds its checkpoint");
        Self { size, root: root_hash, note }
    }
}

/// The proof that an entry is in the log.
#[derive(Clone, Debug)]
pub struct Proof {
    pub log_index: i64,
    pub canonical: Vec<u8>,
    pub hashes: Vec<Vec<u8>>,
    pub checkpoint: Checkpoint,
}

fn decoded(json: &serde_json::Value) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(json.as_str().unwrap()).unwrap()
}

fn hashes(json: &serde_json::Value) -> Vec<Vec<u8>> {
    json.as_array().unwrap().iter().map(decoded).collect()
}

/// Proving the audit.
impl Session {
    pub async fn create_checkpoint(&self) -> Answer<Checkpoint> {
        let operation = operation::CREATE_CHECKPOINT;
        match self.api.protocol {
            Protocol::Rest => {
                let answer = self.rest(operation, rest(Method::POST, "/v1/audit/checkpoints")).await;
                answer.map(|answer| Checkpoint::from_json(&answer.is(201)))
            }
            Protocol::Grpc => {
                let answer = self.grpc(operation, v1::CreateCheckpointRequest {}).await;
                answer.map(|answer: v1::CreateCheckpointResponse| Checkpoint::from_proto(answer.checkpoint))
            }
        }
    }

    /// The latest checkpoint and the key that checks it.
    pub async fn latest_checkpoint(&self) -> Answer<(Checkpoint, String)> {
        let operation = operation::GET_LATEST_CHECKPOINT;
        match self.api.protocol {
            Protocol::Rest => {
                let answer = self.rest(operation, rest(Method::GET, "/v1/audit/checkpoints/latest")).await;
                answer.map(|answer| {
                    let json = answer.is(200);
                    (Checkpoint::from_json(&json), json["verifierKey"].as_str().unwrap().to_owned())
                })
            }
            Protocol::Grpc => {
                let answer = self.grpc(operation, v1::GetLatestCheckpointRequest {}).await;
                answer.map(|answer: v1::GetLatestCheckpointResponse| {
                    (Checkpoint::from_proto(answer.checkpoint), answer.verifier_key)
                })
            }
        }
    }

    pub async fn get_checkpoint(&self, size: i64) -> Answer<Checkpoint> {
        let operation = operation::GET_CHECKPOINT;
        match self.api.protocol {
            Protocol::Rest => {
                let answer = self.rest(operation, rest(Method::GET, format!("/v1/audit/checkpoints/{size}"))).await;
                answer.map(|answer| Checkpoint::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                let answer = self.grpc(operation, v1::GetCheckpointRequest { size }).await;
                answer.map(|answer: v1::GetCheckpointResponse| Checkpoint::from_proto(answer.checkpoint))
            }
        }
    }

    pub async fn consistency(&self, from_size: i64, to_size: i64) -> Answer<Vec<Vec<u8>>> {
        let operation = operation::GET_CONSISTENCY_PROOF;
        match self.api.protocol {
            Protocol::Rest => {
                let path = format!("/v1/audit/checkpoints/consistency?from={from_size}&to={to_size}");
                self.rest(operation, rest(Method::GET, path)).await.map(|answer| hashes(&answer.is(200)["hashes"]))
            }
            Protocol::Grpc => {
                let answer = self.grpc(operation, v1::GetConsistencyProofRequest { from_size, to_size }).await;
                answer.map(|answer: v1::GetConsistencyProofResponse| answer.hashes)
            }
        }
    }

    pub async fn inclusion(&self, id: &str) -> Answer<Proof> {
        let operation = operation::GET_INCLUSION_PROOF;
        match self.api.protocol {
            Protocol::Rest => {
                let path = format!("/v1/audit/messages/{id}/proof");
                self.rest(operation, rest(Method::GET, path)).await.map(|answer| {
                    let json = answer.is(200);
                    Proof {
                        log_index: json["logIndex"].as_str().unwrap().parse().unwrap(),
                        canonical: decoded(&json["canonical"]),
                        hashes: hashes(&json["hashes"]),
                        checkpoint: Checkpoint::from_json(&json["checkpoint"]),
                    }
                })
            }
            Protocol::Grpc => {
                let answer = self.grpc(operation, v1::GetInclusionProofRequest { id: id.to_owned(), size: 0 }).await;
                answer.map(|answer: v1::GetInclusionProofResponse| Proof {
                    log_index: answer.log_index,
                    canonical: answer.canonical,
                    hashes: answer.hashes,
                    checkpoint: Checkpoint::from_proto(answer.checkpoint),
                })
            }
        }
    }

    /// The ids and names of the objects of all entries that match, in the order of the log: by an export, or by a stream.
    pub async fn read_log(&self, filter: &Filter) -> Vec<(String, String)> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, "/v1/audit/messages/export").json(json!({"filter": filter.json()}));
                let answer = self.rest(operation::STREAM_ENTRIES, request).await.ok();
                let lines = String::from_utf8(answer.body.to_vec()).unwrap();
                let lines: Vec<serde_json::Value> =
                    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                assert_eq!((&lines[0]["kind"], &lines[lines.len() - 1]["kind"]), (&json!("export"), &json!("end")));
                let text = |json: &serde_json::Value| json.as_str().unwrap().to_owned();
                let entries = &lines[1..lines.len() - 1];
                let places = entries.iter().map(|line| text(&line["logIndex"]).parse::<i64>().unwrap());
                assert!(places.is_sorted_by(|one, next| one < next), "in the order of the log: {lines:?}");
                entries.iter().map(|line| (text(&line["id"]), text(&line["objectName"]))).collect()
            }
            Protocol::Grpc => {
                let request = v1::StreamEntriesRequest { filter: Some(filter.proto()), ..Default::default() };
                let mut entries = self.stream(request).await.unwrap();
                let (mut read, mut place) = (Vec::new(), -1);
                while let Some(message) = entries.message().await.unwrap() {
                    let name = |event: Option<v1::Event>| event.unwrap_or_default().object.unwrap_or_default().name;
                    for entry in &message.entries {
                        assert!(place < entry.log_index, "in the order of the log");
                        place = entry.log_index;
                    }
                    read.extend(message.entries.into_iter().map(|entry| (entry.id, name(entry.event))));
                }
                read
            }
        }
    }

    /// Opens a stream of entries over gRPC.
    ///
    /// # Errors
    /// The status.
    pub async fn stream(
        &self,
        request: v1::StreamEntriesRequest,
    ) -> Result<tonic::Streaming<v1::StreamEntriesResponse>, tonic::Status> {
        let mut request = tonic::Request::new(request);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let mut client = AuditServiceClient::new(self.api.channel.clone());
        Ok(client.stream_entries(request).await?.into_inner())
    }
}
