//! The permission matrix, cell by cell, for every kind of caller.

mod stage;
mod table;

use coffre_e2e::api::{Answer, CredentialChange, LockerChange, NewAttribute, NewValue, ValueChange};
use coffre_e2e::case::Case;
use coffre_e2e::model::{Filter, Query, Refused, Right};

use self::stage::{Actor, Stage, Who};
use self::table::{Call, LOCKER_PERMISSIONS, MATRIX, PERMISSIONS};

/// What one cell came to, in the letters of the table.
enum Found {
    Whole,
    /// Something was left out.
    Partial,
    /// A list does not tell of it.
    Absent,
    Refused(Refused),
}

pub(crate) async fn every_cell_is_as_the_contract_says(case: &Case<'_>) {
    let stage = Stage::new(case).await;
    let mut wrong = Vec::new();
    for (column, actor) in stage.actors.iter().enumerate() {
        // One credential has one owner: with the base permission first, then without.
        stage.give(if actor.who == Who::BareOwner { Who::BareOwner } else { Who::Owner }).await;
        for (call, cells) in MATRIX {
            let cells: Vec<char> = cells.chars().filter(|cell| *cell != ' ').collect();
            assert_eq!(cells.len(), stage.actors.len(), "{call:?} has a cell for each kind of caller");
            let cell = cells[column];
            if cell == '.' {
                continue;
            }
            let found = attempt(&stage, actor, *call).await;
            if matches!(found, Found::Whole) {
                stage.restore(actor, *call).await;
            }
            if let Err(why) = matches_cell(actor, *call, cell, &found) {
                wrong.push(format!("{call:?} as {:?}: {cell} is expected: {why}", actor.who));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells: {wrong:#?}", wrong.len());
}

fn matches_cell(actor: &Actor, call: Call, cell: char, found: &Found) -> Result<(), String> {
    let told = |refused: &Refused| format!("{} {}: {}", refused.status, refused.code, refused.message);
    let is_about_locker = call as u8 >= Call::SeeLocker as u8;
    let kind = if is_about_locker { "locker" } else { "credential" };
    match (cell, found) {
        ('y', Found::Whole) | ('e', Found::Partial) | ('n', Found::Absent) => Ok(()),
        ('r', Found::Refused(refused)) => {
            let expected = if is_about_locker { "locker.not_empty" } else { "credential.in_locker" };
            (refused.status == 409 && refused.code == expected).then_some(()).ok_or_else(|| told(refused))
        }
        ('n', Found::Refused(refused)) => (refused.status == 404 && refused.code == format!("{kind}.not_found"))
            .then_some(())
            .ok_or_else(|| told(refused)),
        ('s', Found::Refused(refused)) => {
            (refused.status == 403 && refused.code == "authz.self_grant").then_some(()).ok_or_else(|| told(refused))
        }
        ('f', Found::Refused(refused)) => {
            // Which right would allow it: a standing or a permission by its name.
            let rights =
                ["owner", "own", "manage", "participate", "consum", "Administer all lockers", "View and edit ALL"];
            let named = rights.iter().any(|right| refused.message.contains(right));
            (refused.status == 403 && refused.code == format!("{kind}.not_permitted") && named)
                .then_some(())
                .ok_or_else(|| told(refused))
        }
        ('b', Found::Refused(refused)) => {
            let named = actor.who.base(call).iter().any(|base| refused.message.contains(base));
            (refused.status == 403 && refused.code == "authz.permission_required" && named)
                .then_some(())
                .ok_or_else(|| told(refused))
        }
        (_, Found::Whole) => Err("it succeeds".to_owned()),
        (_, Found::Partial) => Err("it succeeds in part".to_owned()),
        (_, Found::Absent) => Err("the list does not tell of it".to_owned()),
        (_, Found::Refused(refused)) => Err(told(refused)),
    }
}

fn whole<T>(answer: Answer<T>) -> Found {
    answer.outcome.map_or_else(Found::Refused, |_| Found::Whole)
}

fn whole_if<T>(answer: Answer<T>, is_whole: impl FnOnce(&T) -> bool) -> Found {
    match answer.outcome {
        Ok(content) if is_whole(&content) => Found::Whole,
        Ok(_) => Found::Partial,
        Err(refused) => Found::Refused(refused),
    }
}

fn listed<T>(answer: Answer<Vec<T>>) -> Found {
    match answer.outcome {
        Ok(list) if list.is_empty() => Found::Absent,
        Ok(_) => Found::Whole,
        Err(refused) => Found::Refused(refused),
    }
}

#[allow(clippy::too_many_lines, reason = "one arm a row of the table")]
async fn attempt(stage: &Stage<'_>, actor: &Actor, call: Call) -> Found {
    let (me, id, locker) = (&actor.session, stage.credential.get(), stage.locker);
    let case = stage.case;
    let to = || ValueChange { value: case.secret("matrix"), ..ValueChange::default() };
    let value = |attribute, of: Option<i64>| {
        let value = NewValue::new(attribute, case.secret("matrix"));
        [of.map_or(value.clone(), |user| value.of(user))]
    };
    match call {
        Call::SeeCredential => {
            let answer = me.get_credential(id).await;
            if let Ok(seen) = &answer.outcome {
                let may = seen.permissions;
                let told = [may.read_values, may.write_values, may.update, may.delete, may.transfer, may.assign_locker];
                assert_eq!(Some(&Some(told)), PERMISSIONS.get(actor.who as usize), "`permissions` of {:?}", actor.who);
                assert_eq!((seen.locker_id, seen.attributes.len()), (Some(locker), 5), "{:?}", actor.who);
            }
            whole(answer)
        }
        Call::FindCredential => {
            let query = Query::filter(Filter::new("id", "eq", id.to_string()));
            match me.query_credentials(&query).await.outcome {
                Ok(page) if page.items.is_empty() => Found::Absent,
                Ok(_) => Found::Whole,
                Err(refused) => Found::Refused(refused),
            }
        }
        Call::ChangeCredential => {
            let description = Some(format!("by {:?}", actor.who));
            whole(me.update_credential(id, &CredentialChange { description, ..CredentialChange::default() }).await)
        }
        Call::DeleteAttribute => whole(me.delete_attribute(id, stage.spare.get()).await),
        Call::DeleteCredential => whole(me.delete_credential(id, None).await),
        Call::Assign => whole(me.assign(locker, id).await),
        Call::Withdraw => whole(me.withdraw(locker, id).await),
        Call::Transfer => whole(me.transfer_credential(id, stage.target).await),
        Call::TransferToSelf => whole(me.transfer_credential(id, me.id).await),
        Call::ReadStandard => {
            let answer = me.list_values_of(id, Some(stage.attribute("standard")), None).await;
            if let Ok(values) = &answer.outcome {
                assert_eq!(values.len(), 1, "the entry is there: {:?}", actor.who);
            }
            whole_if(answer, |values| values[0].value == stage.secret)
        }
        Call::CreateStandard => whole(me.create_values(id, &value(stage.attribute("empty"), None)).await),
        Call::UpdateStandard => whole(me.update_value(id, stage.value(None), &to()).await),
        Call::DeleteStandard => whole(me.delete_value(id, stage.value(None)).await),
        Call::ReadOwn => listed(me.list_values_of(id, Some(stage.attribute("own")), Some(me.id)).await),
        Call::CreateOwn => whole(me.create_values(id, &value(stage.attribute("own too"), None)).await),
        Call::UpdateOwn => whole(me.update_value(id, stage.value(Some(me.id)), &to()).await),
        Call::DeleteOwn => whole(me.delete_value(id, stage.value(Some(me.id))).await),
        Call::ReadOther => listed(me.list_values_of(id, Some(stage.attribute("own")), Some(stage.target)).await),
        Call::CreateOther => whole(me.create_values(id, &value(stage.attribute("own too"), Some(stage.target))).await),
        Call::UpdateOther => whole(me.update_value(id, stage.value(Some(stage.target)), &to()).await),
        Call::DeleteOther => whole(me.delete_value(id, stage.value(Some(stage.target))).await),
        Call::ExplainOwn => whole(me.explain(id, Some(me.id)).await),
        Call::ExplainOther => {
            // Somebody who stands to the credential: about strangers not everybody is told.
            let members = stage.actors.iter().filter(|actor| matches!(actor.who, Who::Own | Who::Manage));
            let other = members.map(|actor| actor.session.id).find(|other| *other != me.id);
            whole(me.explain(id, other).await)
        }
        Call::MissingValues => whole(me.missing_values(id).await),
        Call::SeeLocker => {
            let answer = me.get_locker(locker).await;
            if let Ok(seen) = &answer.outcome {
                let is = seen.permission;
                let told = [is.owner, is.manager, is.participant, is.consumer];
                let expected = LOCKER_PERMISSIONS.get(actor.who as usize);
                assert_eq!(Some(&Some(told)), expected, "`lockerPermission` of {:?}", actor.who);
            }
            whole(answer)
        }
        Call::FindLocker => {
            let query = Query::filter(Filter::new("id", "eq", locker.to_string()));
            match me.query_lockers(&query).await.outcome {
                Ok(page) if page.items.is_empty() => Found::Absent,
                Ok(_) => Found::Whole,
                Err(refused) => Found::Refused(refused),
            }
        }
        Call::ListMembers => whole_if(me.list_members(locker).await, |members| !members.is_empty()),
        Call::ListConsumers => whole_if(me.list_consumers(locker).await, |roles| !roles.is_empty()),
        Call::ListContents => whole_if(me.list_contents(locker).await, |inside| inside.iter().any(|one| one.id == id)),
        Call::UpdateLocker => {
            let description = Some(format!("by {:?}", actor.who));
            whole(me.update_locker(locker, &LockerChange { description, ..LockerChange::default() }).await)
        }
        Call::AddConsumer => whole(me.add_consumer(locker, stage.free_role).await),
        Call::AddOwnRole => whole(me.add_consumer(locker, actor.role).await),
        Call::RemoveConsumer => whole(me.remove_consumer(locker, stage.taken_role).await),
        Call::SetMember => whole(me.set_member(locker, stage.target, &[Right::Participate]).await),
        Call::SetSelf => whole(me.set_member(locker, me.id, &[Right::Own]).await),
        Call::RemoveMember => whole(me.remove_member(locker, stage.passing).await),
        Call::DeleteLocker => whole(me.delete_locker(locker, None).await),
        Call::Enter => {
            // As a member or consumer it may hold no permission to own anything; a second role gives it that.
            let me = stage.as_owner(actor).await;
            let name = case.unique(&format!("of {:?}", actor.who));
            let own = me.create_credential(&name, &[NewAttribute::standard("a")]).await.ok();
            whole(me.assign(locker, own.id).await)
        }
    }
}

impl Who {
    /// The base permission that is missing.
    fn base(self, call: Call) -> &'static [&'static str] {
        const CREDENTIALS: &str = "Manage my credentials and lockers";
        const LOCKERS: &str = "Manage my lockers";
        match self {
            Self::BareOwner | Self::BareConsumer => &[CREDENTIALS],
            Self::BareOwn | Self::BareManage | Self::BareParticipate => &[LOCKERS],
            // A list in which nothing could be: whichever of them would do.
            _ if matches!(call, Call::FindLocker | Call::FindCredential) => &[CREDENTIALS, LOCKERS],
            _ => &[],
        }
    }
}
