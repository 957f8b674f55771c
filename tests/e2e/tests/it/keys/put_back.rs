//! Keys that were replaced and put back into the database, and a database that takes no seal (security.md 5.2, 5.4).

use coffre_e2e::api::Key;
use coffre_e2e::http::Http;
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::tables::execute;

use super::own::{Kept, Own, keeper};
use super::sealed::readiness;
use crate::cases::within_a_second;

vault_cases! {
    keys_that_were_put_back_are_refused_by_the_next_process,
    a_seal_that_cannot_be_stored_is_told_and_takes_effect,
}

/// Keeps the keys as they are, under a name.
fn keep(home: &Home, name: &str) {
    let tables = [("slots", "*", "key_slots"), ("terms", "*", "terms"), ("values", "id, term", "attribute_values")];
    for (what, columns, table) in tables {
        execute(home, "vault", &format!("CREATE TABLE {name}_{what} AS SELECT {columns} FROM {table}"));
    }
}

/// Puts them back, and leads every value to a term that there is.
fn put_back(home: &Home, name: &str) {
    for statement in [
        "DELETE FROM key_slots",
        "INSERT INTO key_slots SELECT * FROM NAME_slots",
        "INSERT INTO terms SELECT * FROM NAME_terms n WHERE n.term NOT IN (SELECT term FROM terms)",
        "UPDATE terms SET wrapped = (SELECT n.wrapped FROM NAME_terms n WHERE n.term = terms.term) \
         WHERE term IN (SELECT term FROM NAME_terms)",
        "UPDATE attribute_values SET term = (SELECT n.term FROM NAME_values n WHERE n.id = attribute_values.id)",
        "DELETE FROM terms WHERE term NOT IN (SELECT term FROM NAME_terms)",
        "UPDATE seal_state SET generation = generation + 1",
    ] {
        execute(home, "vault", &statement.replace("NAME", name));
    }
}

async fn keys_that_were_put_back_are_refused_by_the_next_process(own: &mut Own) {
    own.restart(|home| keep(home, "old"));
    let leaked = own.recovery.clone();
    own.recovery = {
        let case = own.case().await;
        let replaced = keeper(&case).await.replace_recovery_key(Some(&leaked)).await.ok();
        case.settle().await;
        replaced
    };
    own.restart(|home| {
        keep(home, "new");
        put_back(home, "old");
    });
    {
        let case = own.case().await;
        let keeper = keeper(&case).await;
        keeper.key_applied().await.refused(500, "vault.key_damaged");
        for key in [&leaked, &own.recovery] {
            let refused = keeper.drill_key(Key::Recovery(key)).await.refused(500, "vault.key_damaged");
            assert!(refused.message.contains("older than those"), "{refused:?}");
        }
        let components = Http::new(own.server.management).get("/readyz").send().await;
        let text = String::from_utf8_lossy(&components.body).into_owned();
        assert!(
            components.status == 200 && text.contains("the vault is closed: the keys in the database are older"),
            "{text}"
        );
        let log = std::fs::read_to_string(&own.server.log).unwrap();
        assert!(log.contains("somebody put back old rows"), "the log says it");
    }
    own.restart(|home| {
        put_back(home, "new");
        for what in ["slots", "terms", "values"] {
            execute(home, "vault", &format!("DROP TABLE old_{what}; DROP TABLE new_{what}"));
        }
    });
}

async fn a_seal_that_cannot_be_stored_is_told_and_takes_effect(own: &mut Own) {
    own.restart(|home| {
        execute(
            home,
            "vault",
            match home.engine {
                Engine::Sqlite => {
                    "CREATE TRIGGER refuses BEFORE UPDATE ON seal_state BEGIN SELECT RAISE(ABORT, 'injected'); END"
                }
                Engine::Postgres => {
                    "CREATE FUNCTION refuses() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'injected'; END $$ LANGUAGE plpgsql; \
                     CREATE TRIGGER refuses BEFORE UPDATE ON seal_state FOR EACH ROW EXECUTE FUNCTION refuses()"
                }
            },
        );
    });
    {
        let case = own.case().await;
        let (keeper, kept) = (keeper(&case).await, Kept::new(&case).await);
        let refused = keeper.seal_vault().await.refused(503, "store.unavailable");
        assert!(refused.message.contains("closed in this process") && refused.retry_after.is_some(), "{refused:?}");
        kept.owner(&case).list_values(kept.credential.id).await.refused(503, "vault.sealed");
        within_a_second("the probe says so", async || readiness(case.server).await["vault"] == "sealed").await;
    }
    // As its refusal says: a process that ends before the seal is stored forgets it.
    own.restart(|home| {
        execute(
            home,
            "vault",
            match home.engine {
                Engine::Sqlite => "DROP TRIGGER refuses",
                Engine::Postgres => "DROP TRIGGER refuses ON seal_state; DROP FUNCTION refuses()",
            },
        );
    });
}
