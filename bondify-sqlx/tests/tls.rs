//! The stores on engines that demand TLS.

use bondify_sqlx::{
    MySqlStore, PostgresStore,
    sqlx::{self, MySqlPool, PgPool},
};
use bondify_testkit::store_suite::cases::a_completed_key_is_completed;
use test_engines::{Engine, Proxy, Upstream};

#[tokio::test]
async fn postgres_is_encrypted_and_verified_as_the_url_says() {
    let Some(server) = Engine::postgres_with_tls() else { return };
    let parameters = Parameters {
        plain: "sslmode=disable",
        encrypted: "sslmode=require",
        verified: "sslmode=verify-full",
        authority: "sslrootcert",
    };
    let connect = async |url: &str| {
        let store = PostgresStore::new(PgPool::connect(url).await?);
        store.migrate().await?;
        a_completed_key_is_completed(store).await;
        Ok(())
    };
    is_encrypted_and_verified(&server, parameters, "no encryption", connect).await;
}

#[tokio::test]
async fn mariadb_is_encrypted_and_verified_as_the_url_says() {
    let Some(server) = Engine::mariadb_with_tls() else { return };
    let parameters = Parameters {
        plain: "ssl-mode=DISABLED",
        encrypted: "ssl-mode=REQUIRED",
        verified: "ssl-mode=VERIFY_IDENTITY",
        authority: "ssl-ca",
    };
    let connect = async |url: &str| {
        let store = MySqlStore::new(MySqlPool::connect(url).await?);
        store.migrate().await?;
        a_completed_key_is_completed(store).await;
        Ok(())
    };
    is_encrypted_and_verified(&server, parameters, "Access denied", connect).await;
}

/// The parameters of an engine's URL.
struct Parameters {
    plain: &'static str,
    encrypted: &'static str,
    verified: &'static str,
    authority: &'static str,
}

async fn is_encrypted_and_verified(
    server: &Engine,
    Parameters { plain, encrypted, verified, authority }: Parameters,
    refusal: &str,
    connect: impl AsyncFn(&str) -> sqlx::Result<()>,
) {
    let upstream = Upstream::Tcp(server.address());
    let proxy = Proxy::start(upstream).await.expect("there is a free port");
    let here = server.url();
    // An address that the certificate does not name.
    let elsewhere = here.replace(&server.address().to_string(), &proxy.address().to_string());
    let own = format!("{verified}&{authority}={}", server.authority().display());
    let other = format!("{verified}&{authority}={}", server.other_authority().display());

    for url in [here, &format!("{here}?{encrypted}"), &format!("{here}?{own}")] {
        connect(url).await.expect(url);
    }
    for (url, reason) in [
        (format!("{here}?{plain}"), refusal),
        (format!("{here}?{verified}"), "UnknownIssuer"), // by the authorities of the machine
        (format!("{here}?{other}"), "UnknownIssuer"),
        (format!("{elsewhere}?{own}"), "not valid for name"),
    ] {
        let error = connect(&url).await.expect_err(&url).to_string();
        assert!(error.contains(reason), "{url}: {error}");
    }
}
