//! What the logs hold, at the most talkative level.

use std::io::Write;
use std::sync::{Arc, Mutex};

use coffre_proto::auth::v1::UpdateUserRequest;
use coffre_test_support::{Canary, TestDb};
use tracing_subscriber::EnvFilter;

use crate::world::{BASIC_ROLE, World};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_5_no_password_and_no_token_is_in_a_log_line_or_a_span() {
    let lines = Lines::default();
    let writer = lines.clone();
    // For the whole process: the work is done on many threads. What other tests do meanwhile is looked at as well.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("coffre=trace,tonic=trace,tower=trace,diesel=trace"))
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let db = TestDb::sqlite();
    let world = World::start(&db).await;
    let (old, new, wrong) = (Canary::new(), Canary::new(), Canary::new());
    let (id, _) = world.user("ada", &[BASIC_ROLE]).await;
    let admin = world.admin().await;
    let reset = UpdateUserRequest { id, password: Some(old.text().into()), ..UpdateUserRequest::default() };
    admin.update_user(reset).await.unwrap();
    let user = world.sign_in("ada", old.text()).await;
    world.nobody().sign_in("ada", wrong.text()).await.unwrap_err();
    world.nobody().sign_in(wrong.text(), wrong.text()).await.unwrap_err();
    user.change_password(wrong.text(), new.text()).await.unwrap_err();
    user.change_password(old.text(), new.text()).await.unwrap();
    let fresh = user.refresh(&user.token).await.unwrap();
    assert!(user.validate(&fresh).await);
    user.sign_out(&admin.token).await.unwrap_err();
    user.sign_out("").await.unwrap();
    let lines = lines.0.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&lines);
    assert!(text.contains("AuthenticationService/SignIn"), "the spans are there");
    for canary in [&old, &new, &wrong] {
        assert!(!canary.is_in(&lines));
    }
    for token in [&user.token, &admin.token, &fresh] {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!text.contains(signature));
    }
}
