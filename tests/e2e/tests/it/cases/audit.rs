//! Reading the audit (contract, section 6; security.md 6).

use std::time::{Duration, Instant};

use coffre_audit_proof::checkpoint::Checkpoint;
use coffre_audit_proof::note::VerifierKey;
use coffre_audit_proof::proof::{verify_consistency, verify_inclusion};
use coffre_audit_proof::tree::{Hash, leaf_hash};
use coffre_e2e::api::{CredentialChange, NewAttribute, NewRole, NewValue, Proof, Protocol, Session, rest};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Entry, Filter, Page, Query};
use coffre_e2e::operation::LIST_INCIDENTS;
use coffre_proto::audit::v1::{self, Event};
use coffre_proto::vault::v1::{ListValueSealsRequest, ListValueSealsResponse};
use http::Method;
use prost::Message as _;

/// Waits until a list holds at least so many entries: they arrive a moment after the answer.
async fn await_entries(reader: &Session, query: &Query, at_least: usize) -> Page<Entry> {
    let begun = Instant::now();
    loop {
        let page = reader.query_entries(query).await.ok();
        if page.items.len() >= at_least {
            return page;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{at_least} entries are expected: {page:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The id of the first entry of a caller.
pub(crate) async fn first_entry_of(caller: &Session) -> String {
    await_entries(caller, &Query::default().sort("createdOn", false).page(0, 1), 1).await.items.remove(0).id
}

pub(crate) async fn a_user_sees_the_own_entries_alone(case: &Case<'_>) {
    let (one, two) = (case.basic("one").await, case.basic("two").await);
    let first = one.create_credential(&case.unique("first"), &[NewAttribute::standard("a")]).await.ok();
    let second = two.create_credential(&case.unique("second"), &[NewAttribute::standard("a")]).await.ok();
    let query = Query::filter(Filter::new("activityType", "eq", "ADD_CREDENTIAL"));
    let page = await_entries(&one, &query, 1).await;
    assert!(page.items.iter().all(|entry| entry.created_by == one.id.to_string()), "{page:#?}");
    assert_eq!(page.items[0].object_name, first.name);
    let theirs = await_entries(&two, &query, 1).await;
    assert_eq!(theirs.items.len(), 1);
    assert_eq!(theirs.items[0].object_name, second.name);
    assert_eq!(theirs.total_filter, Some(1), "what is not visible is not counted");
    one.get_entry(&theirs.items[0].id).await.refused(404, "audit.entry_not_found");
    case.anonymous().query_entries(&Query::default()).await.refused(401, "auth.token_required");
}

pub(crate) async fn a_holder_of_the_whole_audit_sees_all(case: &Case<'_>) {
    let reader = case.holder("auditor", &[permission::VIEW_ALL_AUDIT]).await;
    let owner = case.basic("owner").await;
    let created = owner.create_credential(&case.unique("watched"), &[NewAttribute::standard("a")]).await.ok();
    let page = await_entries(&reader, &Query::filter(Filter::new("objectName", "eq", &*created.name)), 1).await;
    let entry = &page.items[0];
    assert_eq!((entry.activity.as_str(), entry.status.as_str()), ("ADD_CREDENTIAL", "Successful"));
    assert_eq!(
        (entry.user_name.as_str(), entry.created_by.as_str()),
        (owner.username.as_str(), &*owner.id.to_string())
    );
    assert_eq!((entry.source.as_str(), entry.object_type.as_str()), (case.protocol.source(), "credential"));
    assert_eq!(entry.event, "credential.created");
}

pub(crate) async fn an_entry_is_read_by_its_id(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    owner.create_credential(&case.unique("one"), &[NewAttribute::standard("a")]).await.ok();
    let page = await_entries(&owner, &Query::filter(Filter::new("activityType", "eq", "ADD_CREDENTIAL")), 1).await;
    assert_eq!(owner.get_entry(&page.items[0].id).await.ok(), page.items[0]);
    owner.get_entry("01890000-0000-7000-8000-000000000000").await.refused(404, "audit.entry_not_found");
    let odd = owner.get_entry("not-an-id").await;
    assert!(matches!(odd.code(), Some("audit.entry_not_found" | "request.invalid")), "{odd:?}");
}

pub(crate) async fn entries_are_filtered_sorted_and_paged(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let mut names = Vec::new();
    for index in 0..5 {
        names.push(case.unique(&format!("c{index}")));
        owner.create_credential(&names[index], &[NewAttribute::standard("a")]).await.ok();
    }
    let of_type = || Filter::new("activityType", "eq", "ADD_CREDENTIAL");
    let page = await_entries(&owner, &Query::filter(of_type()).sort("createdOn", false), 5).await;
    let found: Vec<&str> = page.items.iter().map(|entry| entry.object_name.as_str()).collect();
    assert_eq!(found, names);
    let newest = owner.query_entries(&Query::filter(of_type())).await.ok();
    assert_eq!(newest.items[0].object_name, names[4], "newest first unless asked otherwise");
    let middle = owner.query_entries(&Query::filter(of_type()).sort("createdOn", false).page(1, 2)).await.ok();
    let found: Vec<&str> = middle.items.iter().map(|entry| entry.object_name.as_str()).collect();
    assert_eq!(found, names[1..3]);
    assert_eq!(middle.total_filter, Some(5));
    let none = owner
        .query_entries(&Query::filter(Filter::And(vec![of_type(), Filter::new("status", "eq", "Unsuccessful")])))
        .await
        .ok();
    assert!(none.items.is_empty());
    owner.query_entries(&Query::filter(Filter::new("password", "eq", "x"))).await.refused(400, "list.field_unknown");
}

pub(crate) async fn unknown_user_names_are_not_written_down(case: &Case<'_>) {
    // People type passwords into the wrong field.
    let typed = case.secret("typed into the wrong field");
    let answer = case.anonymous().sign_in(&typed, "whatever it is").await;
    let request = answer.request_id.clone();
    answer.refused(401, "auth.sign_in_failed");
    let page = await_entries(&case.admin, &Query::filter(Filter::new("requestId", "eq", &*request)), 1).await;
    let entry = &page.items[0];
    assert_eq!(
        (entry.activity.as_str(), entry.status.as_str(), entry.user_name.as_str()),
        ("LOGIN", "Unsuccessful", "")
    );
    assert!(!format!("{entry:?}").contains(&typed), "{entry:?}");
}

pub(crate) async fn a_change_is_told_without_its_secret(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let created =
        owner.create_described(&case.unique("told"), Some("the old words"), &[NewAttribute::standard("a")]).await.ok();
    let change = CredentialChange { description: Some("the new words".to_owned()), ..CredentialChange::default() };
    let answer = owner.update_credential(created.id, &change).await;
    let request = answer.request_id.clone();
    answer.ok();
    let page = await_entries(&owner, &Query::filter(Filter::new("requestId", "eq", &*request)), 1).await;
    let detail = &page.items[0].detail;
    assert!(detail.contains("the old words") && detail.contains("the new words"), "old and new: {detail}");
    let secret = case.secret("never told");
    let answer = owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await;
    let request = answer.request_id.clone();
    answer.ok();
    let page = await_entries(&owner, &Query::filter(Filter::new("requestId", "eq", &*request)), 1).await;
    assert!(!format!("{:?}", page.items[0]).contains("never told"), "{page:?}");
}

pub(crate) async fn an_entry_says_who_what_how_and_from_where(case: &Case<'_>) {
    let owner = case.basic("whole").await;
    let name = case.unique("told whole");
    let created = owner.create_credential(&name, &[NewAttribute::standard("a")]).await;
    let (id, request) = (created.audit_id.clone().unwrap(), created.request_id.clone());
    let credential = created.ok();
    let refused = owner.get_credential(credential.id + 1_000_000).await;
    let refused_id = refused.audit_id.clone().unwrap();
    refused.refused(404, "credential.not_found");
    await_entries(&owner, &Query::filter(Filter::new("id", "eq", &*id)), 1).await;
    // What REST leaves out is in the event.
    let auditor = Session { api: coffre_e2e::api::Api::new(case.server, Protocol::Grpc), ..case.admin.clone() };
    let entry = async |id: &str| {
        let request = tonic::Request::new(v1::GetEntryRequest { id: id.to_owned() });
        let answer: v1::GetEntryResponse =
            auditor.unary("coffre.audit.v1.AuditService/GetEntry", request).await.unwrap();
        answer.entry.unwrap()
    };
    let told = entry(&id).await;
    let event = told.event.unwrap();
    let actor = event.actor.unwrap();
    assert_eq!((actor.user_id, actor.user_name.as_str(), actor.session_id.len()), (owner.id, &*owner.username, 16));
    let object = event.object.unwrap();
    assert_eq!((object.r#type.as_str(), object.id, object.name), ("credential", credential.id.to_string(), name));
    assert_eq!((event.service.as_str(), event.event.as_str()), ("vault", "credential.created"));
    assert_eq!(event.method, "coffre.vault.v1.CredentialService/CreateCredential");
    assert_eq!((event.outcome, event.reason.as_str(), &event.request_id), (1, "", &request));
    assert!(event.changes.iter().any(|change| change.field == "name" && change.old_value.is_none()));
    assert!(event.client_address.starts_with("127.") && event.time_us > 0 && !event.host_name.is_empty());
    let event = entry(&refused_id).await.event.unwrap();
    assert_eq!((event.outcome, event.reason.as_str()), (2, "CREDENTIAL_NOT_FOUND"));
    assert!(event.changes.is_empty());
}

/// Checks a proof of the server: bytes, path, root, signature.
fn assert_proved(proof: &Proof, key: &str) -> Event {
    let key: VerifierKey = key.parse().unwrap();
    let checkpoint = Checkpoint::open(&proof.checkpoint.note, &key).unwrap();
    assert_eq!(checkpoint.root.as_slice(), proof.checkpoint.root);
    assert_eq!(i64::try_from(checkpoint.size).unwrap(), proof.checkpoint.size);
    let hashes: Vec<Hash> = proof.hashes.iter().map(|hash| Hash::try_from(hash.as_slice()).unwrap()).collect();
    let index = u64::try_from(proof.log_index).unwrap();
    assert!(verify_inclusion(&leaf_hash(&proof.canonical), index, checkpoint.size, &hashes, &checkpoint.root));
    let mut changed = proof.canonical.clone();
    changed[20] ^= 1;
    assert!(!verify_inclusion(&leaf_hash(&changed), index, checkpoint.size, &hashes, &checkpoint.root));
    Event::decode(proof.canonical.as_slice()).unwrap()
}

pub(crate) async fn an_answer_names_its_entry_which_is_proved(case: &Case<'_>) {
    let owner = case.basic("receipts").await;
    let created = owner.create_credential(&case.unique("proved"), &[NewAttribute::standard("a")]).await.ok();
    owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, case.secret("proved"))]).await.ok();
    let read = owner.list_values(created.id).await;
    let (id, request) = (read.audit_id.clone().expect("a value comes with its receipt"), read.request_id.clone());
    read.ok();
    await_entries(&owner, &Query::filter(Filter::new("id", "eq", &*id)), 1).await;
    let proof = owner.inclusion(&id).await.ok();
    case.admin.create_checkpoint().await.ok();
    let key = owner.latest_checkpoint().await.ok().1;
    let event = assert_proved(&proof, &key);
    assert_eq!((event.event.as_str(), event.request_id), ("credential.value.read", request));
    assert_eq!(event.actor.unwrap().user_id, owner.id);
    assert!(event.details.iter().any(|detail| detail.key == "valueRead"));
    // The proof is for whoever may see the entry.
    case.basic("stranger").await.inclusion(&id).await.refused(404, "audit.entry_not_found");
    assert_proved(&case.admin.inclusion(&id).await.ok(), &key);
    owner.inclusion("01890000-0000-7000-8000-000000000000").await.refused(404, "audit.entry_not_found");
    let refused = owner.get_credential(created.id + 1_000_000).await;
    let id = refused.audit_id.clone().expect("a refusal, too");
    refused.refused(404, "credential.not_found");
    await_entries(&owner, &Query::filter(Filter::new("id", "eq", &*id)), 1).await;
    assert_eq!(assert_proved(&owner.inclusion(&id).await.ok(), &key).reason, "CREDENTIAL_NOT_FOUND");
}

pub(crate) async fn checkpoints_are_consistent_and_signed(case: &Case<'_>) {
    let reader = case.user("reader", &[]).await;
    let first = case.admin.create_checkpoint().await.ok();
    case.basic("between").await;
    let second = case.admin.create_checkpoint().await.ok();
    assert!(first.size < second.size, "{first:?} {second:?}");
    assert_eq!(reader.get_checkpoint(first.size).await.ok(), first);
    let (latest, key) = reader.latest_checkpoint().await.ok();
    assert!(latest.size >= second.size);
    let key: VerifierKey = key.parse().unwrap();
    let number = |size: i64| u64::try_from(size).unwrap();
    let opened = [&first, &second].map(|checkpoint| Checkpoint::open(&checkpoint.note, &key).unwrap());
    assert_eq!(opened.each_ref().map(|one| one.size), [number(first.size), number(second.size)]);
    let hashes = reader.consistency(first.size, second.size).await.ok();
    let hashes: Vec<Hash> = hashes.iter().map(|hash| Hash::try_from(hash.as_slice()).unwrap()).collect();
    let holds = |from: &Hash| verify_consistency(opened[0].size, from, opened[1].size, &opened[1].root, &hashes);
    assert!(holds(&opened[0].root) && !holds(&opened[1].root));
    reader.consistency(second.size, first.size).await.refused(400, "request.invalid");
    reader.consistency(1, i64::MAX).await.refused(400, "request.invalid");
    reader.get_checkpoint(i64::MAX).await.refused(404, "audit.checkpoint_not_found");
    reader.create_checkpoint().await.refused(403, "authz.permission_required");
}

pub(crate) async fn an_export_equals_the_list(case: &Case<'_>) {
    let owner = case.basic("exporter").await;
    let names = ["=1+1", "@sum", "-2", "a,\"b\"", "漢字 é 🔑"].map(|name| case.unique(name));
    for name in &names {
        owner.create_credential(name, &[NewAttribute::standard("a")]).await.ok();
    }
    let filter = || Filter::new("activityType", "eq", "ADD_CREDENTIAL");
    let page = await_entries(&owner, &Query::filter(filter()).sort("createdOn", true), names.len()).await;
    let listed: Vec<(String, String)> = page.items.into_iter().map(|entry| (entry.id, entry.object_name)).collect();
    let mut read = owner.read_log(&filter()).await;
    read.sort();
    let mut listed = listed;
    listed.sort();
    assert_eq!(read, listed, "one's own entries, and no others");
    if case.protocol == Protocol::Rest {
        let request = rest(Method::POST, "/v1/audit/messages/export").header("accept", "text/csv");
        let request = request.json(serde_json::json!({"filter": filter().json()}));
        let answer = owner.rest(coffre_e2e::operation::STREAM_ENTRIES, request).await.ok();
        let table = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!(table.matches("\r\n").count(), names.len() + 1, "{table}");
        assert!(table.contains(&format!(",'{},", names[0])) && table.contains(&format!(",'{},", names[1])), "{table}");
        assert!(table.contains("a,\"\"b\"\""), "{table}");
    }
    let unknown = v1::StreamEntriesRequest {
        filter: Some(Filter::new("password", "eq", "x").proto()),
        ..v1::StreamEntriesRequest::default()
    };
    let grpc = Session { api: coffre_e2e::api::Api::new(case.server, Protocol::Grpc), ..owner.clone() };
    assert_eq!(grpc.stream(unknown).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}

pub(crate) async fn what_is_found_wrong_is_for_auditors(case: &Case<'_>) {
    let (auditor, plain) = (case.holder("auditor", &[permission::VIEW_ALL_AUDIT]).await, case.basic("plain").await);
    let ask = async |who: &Session| match case.protocol {
        Protocol::Rest => {
            let answer = who.rest(LIST_INCIDENTS, rest(Method::GET, "/v1/audit/incidents")).await;
            answer.outcome.map(|answer| answer.json()["total"].as_i64().unwrap()).map_err(|refused| refused.code)
        }
        Protocol::Grpc => {
            let answer = who.grpc(LIST_INCIDENTS, v1::ListIncidentsRequest::default()).await;
            answer.outcome.map(|answer: v1::ListIncidentsResponse| answer.total_size).map_err(|refused| refused.code)
        }
    };
    assert_eq!(ask(&auditor).await, Ok(0), "nobody touched this log");
    assert_eq!(ask(&plain).await, Err("authz.permission_required".to_owned()));
}

pub(crate) async fn stored_values_have_their_seals(case: &Case<'_>) {
    let owner = case.basic("sealed").await;
    let created = owner.create_credential(&case.unique("sealed"), &[NewAttribute::standard("a")]).await.ok();
    let written = owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, case.secret("s"))]).await;
    let id = written.audit_id.clone().unwrap();
    let value = written.ok()[0].id;
    await_entries(&owner, &Query::filter(Filter::new("id", "eq", &*id)), 1).await;
    let event = Event::decode(owner.inclusion(&id).await.ok().canonical.as_slice()).unwrap();
    let auditor = Session { api: coffre_e2e::api::Api::new(case.server, Protocol::Grpc), ..case.admin.clone() };
    let request = ListValueSealsRequest { after_value_id: value - 1, page_size: 1 };
    let answer: ListValueSealsResponse =
        auditor.unary("coffre.vault.v1.ValueSealService/ListValueSeals", tonic::Request::new(request)).await.unwrap();
    let (told, stored) = (&event.value_seals[0], &answer.seals[0]);
    assert_eq!((told.value_id, told.version, &told.mac), (stored.value_id, stored.version, &stored.mac));
}

pub(crate) async fn a_refused_creation_names_what_was_wanted(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let (role, locker, credential) = (case.unique("role"), case.unique("locker"), case.unique("credential"));
    let new_role = NewRole { name: role.clone(), ..NewRole::default() };
    case.admin.create_role(&new_role).await.ok();
    case.admin.create_role(&new_role).await.refused(409, "role.name_taken");
    owner.create_locker(&locker, None).await.ok();
    owner.create_locker(&locker, None).await.refused(409, "locker.name_taken");
    let attributes = [NewAttribute::standard("a")];
    owner.create_credential(&credential, &attributes).await.ok();
    owner.create_credential(&credential, &attributes).await.refused(409, "credential.name_taken");
    for (name, kind, who) in
        [(&role, "role", &case.admin), (&locker, "locker", &owner), (&credential, "credential", &owner)]
    {
        let entries = await_entries(who, &Query::filter(Filter::new("objectName", "eq", &**name)), 2).await.items;
        let refused = entries.iter().find(|entry| entry.status == "Unsuccessful");
        let refused = refused.unwrap_or_else(|| panic!("the refusal names {name}: {entries:#?}"));
        assert_eq!((refused.object_type.as_str(), refused.object_id.as_str()), (kind, ""), "{refused:?}");
    }
}
