//! A Redis that refuses some commands of the store.

use bondify_redis::redis::{ErrorKind, ServerErrorKind::NoPerm};

use super::*;

const README: &str = include_str!("../../README.md");

/// The rights that the README demands everywhere.
const RIGHTS: &str = "~bondify:* +set +get +del +pexpire +eval +evalsha";

/// The rights that the README demands everywhere and in this case.
pub(crate) fn rights(case: &str) -> String {
    assert!(README.contains(&format!("\n- `{RIGHTS}`\n")));
    let (_, rest) = README.split_once(&format!("\n- {case}: `")).expect("the README has the case");
    format!("{RIGHTS} {}", rest.split('`').next().expect("the rights end"))
}

#[tokio::test]
async fn the_rights_in_the_readme_are_enough() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    each_call(&narrow(&server, &admin, RIGHTS).await, key("narrow")).await;
}

#[tokio::test]
async fn the_rights_in_the_readme_are_enough_for_a_check() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    let store = narrow(&server, &admin, &rights("for `Bondify::check`")).await;
    assert_eq!(store.check().await.expect(ANSWERS), [""; 0]);
}

#[tokio::test]
async fn the_rights_in_the_readme_are_enough_for_another_database() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    let rights = rights("with a number of a database in the URL");
    drop(narrow(&server, &admin, &rights).await);
    let url = format!("{}?user=narrow&pass=secret&db=1", server.url());
    each_call(&open(url), key("narrow")).await;
    assert_eq!(tell::<usize>(&admin, "DBSIZE").await, 0, "it is in the other database");
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn the_rights_in_the_readme_are_enough_on_a_cluster() {
    use bondify_redis::redis::cluster::ClusterClient;

    let Some(urls) = engine_url("BONDIFY_TEST_REDIS_CLUSTER_URLS") else { return };
    let rights = rights("on a cluster");
    for url in urls.split(',') {
        let admin = connect(url).await;
        let () = tell(&admin, &format!("ACL SETUSER narrow reset on >secret {rights}")).await;
    }
    let builder = ClusterClient::builder(urls.split(',')).response_timeout(PATIENT);
    let client = builder.username("narrow").password("secret").build();
    let store = RedisStore::open(client.expect("Redis URLs")).timeout(PATIENT);
    for number in 0..20 {
        let session = format!("{:016x}, {number}", getrandom::u64().expect("the system has some"));
        each_call(&store, key(&session)).await;
    }
}

#[tokio::test]
async fn a_check_names_what_is_denied() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    let store = narrow(&server, &admin, "~bondify:* +set +get +del +eval +evalsha +info").await;
    let advice = store.check().await.expect(ANSWERS);
    assert_eq!(advice.len(), 1, "{advice:?}");
    assert!(
        advice[0].contains("PEXPIRE is denied") && advice[0].contains("ACL SETUSER"),
        "{advice:?}"
    );

    let advice = narrow(&server, &admin, RIGHTS).await.check().await.expect(ANSWERS);
    assert_eq!(advice.len(), 1, "{advice:?}");
    assert!(advice[0].contains("INFO is denied") && advice[0].contains("+info"), "{advice:?}");
}

#[tokio::test]
async fn each_missing_right_refuses_the_first_claim_and_is_named() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    for right in ["set", "get", "del", "pexpire", "eval", "evalsha"] {
        let () = tell(&admin, "SCRIPT FLUSH").await;
        let rights: Vec<_> = RIGHTS.split(' ').filter(|&has| has != format!("+{right}")).collect();
        let store = narrow(&server, &admin, &rights.join(" ")).await;
        assert_refused(store.claim(&key(right), LEASE).await, right);
    }
    assert_eq!(tell::<usize>(&admin, "DBSIZE").await, 0, "no claim took effect");
}

#[tokio::test]
async fn rights_on_other_keys_refuse_the_first_claim() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    let store = narrow(&server, &admin, "~shop:* +@all").await;
    assert_refused(store.claim(&key("elsewhere"), LEASE).await, "keys");
    each_call(&store.prefix("shop:"), key("here")).await;
}

#[tokio::test]
async fn the_first_claim_fails_if_a_command_was_renamed() {
    for command in ["SET", "GET", "DEL", "PEXPIRE", "EVAL", "EVALSHA"] {
        let rename = ["--rename-command", command, "", "--appendonly", "no"];
        let Some(server) = Engine::redis_with(rename) else { return };
        let claimed = open(server.url()).claim(&key("renamed"), LEASE).await;
        assert_refused(claimed, command);
        let admin = connect(server.url()).await;
        assert_eq!(tell::<usize>(&admin, "DBSIZE").await, 0, "no claim took effect");
    }
}

#[tokio::test]
async fn a_change_of_rights_is_noticed_by_the_next_claim() {
    let Some(server) = Engine::redis() else { return };
    let admin = connect(server.url()).await;
    let store = narrow(&server, &admin, "~bondify:* +set").await;
    assert_refused(store.claim(&key("before"), LEASE).await, "evalsha");

    let () = tell(&admin, &format!("ACL SETUSER narrow {RIGHTS}")).await;
    let token = acquire(&store, key("granted")).await;

    let () = tell(&admin, "ACL SETUSER narrow -eval -evalsha").await;
    assert!(store.complete(&key("granted"), &token, RETENTION).await.is_err());
    assert_refused(store.claim(&key("taken away"), LEASE).await, "evalsha");
}

/// A store whose user has only these rights.
async fn narrow(server: &Engine, admin: &ConnectionManager, rights: &str) -> RedisStore {
    let () = tell(admin, &format!("ACL SETUSER narrow reset on >secret {rights}")).await;
    open(format!("{}?user=narrow&pass=secret", server.url()))
}

#[track_caller]
fn assert_refused(claimed: Result<Claimed, StoreError>, named: &str) {
    let error = claimed.expect_err("the claim could not be completed");
    let source = error.source().and_then(|source| source.downcast_ref::<RedisError>());
    let source = source.expect("an error of Redis");
    assert_eq!(source.kind(), ErrorKind::Server(NoPerm));
    let text = source.to_string();
    assert!(text.to_lowercase().contains(&named.to_lowercase()), "{text}");
    assert!(text.contains("ACL SETUSER <user> ~bondify:* +set +get +del"), "{text}");
}
