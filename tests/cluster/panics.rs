use std::process::Command;

use actix::prelude::*;

struct Fragile;

impl Actor for Fragile {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        panic!("an actor broke");
    }
}

/// The child: a process like a node's, whose actor panics on a thread of its own.
fn break_an_actor() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    neap::actors::shell::end_the_process_on_panic();
    actix::System::new().block_on(async {
        let arbiter = Arbiter::new();
        arbiter.spawn_fn(|| drop(Fragile.start()));
        tokio::time::sleep(super::PATIENCE).await;
    });
}

#[test]
fn a_panic_in_an_actor_ends_the_process_with_a_logged_reason() {
    if std::env::var_os("NEAP_TEST_BREAK_AN_ACTOR").is_some() {
        return break_an_actor();
    }
    let name = "cluster::panics::a_panic_in_an_actor_ends_the_process_with_a_logged_reason";
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env("NEAP_TEST_BREAK_AN_ACTOR", "1")
        .output()
        .unwrap();
    assert_eq!(child.status.code(), Some(101));
    let said = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(said.contains("ERROR") && said.contains("an actor broke"), "{said}");
}
