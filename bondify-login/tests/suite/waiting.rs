use std::time::Duration;

use bondify_testkit::Connection;
use tokio::time::timeout;

use super::{Framework, Rig, rig::Browser};

/// Opens a connection that waits for the decision.
async fn waiting(browser: &Browser) -> Connection {
    browser.send("GET", "/login/events", "", "").await
}

impl Rig {
    /// Waits until the login has this number of waiting connections.
    pub(crate) async fn until_waiting(&self, connections: usize) {
        let wanted = format!("waiting: {connections},");
        let is_so = async {
            while !format!("{:?}", self.login).contains(&wanted) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(Duration::from_secs(10), is_so).await;
        waited.unwrap_or_else(|_| panic!("{:?}, not {wanted}", self.login));
    }
}

/// Waits for a response that comes at once or never, such as that to a connection that may not wait.
pub(crate) async fn soon<T>(done: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), done).await.expect("it is done at once")
}

pub(crate) async fn waiting_connections_are_bounded<F: Framework>() {
    let rig = Rig::with::<F>(Duration::from_secs(600), |login| login.max_waiting(4)).await;
    let first = rig.begin().await;
    let mut tabs = vec![waiting(&first).await];
    rig.until_waiting(1).await;
    for _ in 0..3 {
        tabs.push(waiting(&first).await);
        tabs.last_mut().unwrap().part_of_a_response().await.unwrap();
    }
    let ended = soon(tabs[0].response()).await.unwrap();
    assert!(!ended.body.contains("event: state"), "a fourth tab takes the place of the first");
    rig.until_waiting(3).await;

    let mut second = rig.begin().await;
    let of_second = [waiting(&second).await, waiting(&second).await];
    soon(tabs[1].response()).await.unwrap();
    rig.until_waiting(4).await;
    rig.confirm(&second.token.clone(), "42");
    second.proof().await;
    drop((tabs, of_second));
    rig.until_waiting(0).await;
}

pub(crate) async fn a_client_that_leaves_ends_its_wait<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let browser = rig.begin().await;
    let [politely, rudely] = [waiting(&browser).await, waiting(&browser).await];
    rig.until_waiting(2).await;
    drop(politely);
    rig.until_waiting(1).await;
    rudely.reset().unwrap();
    rig.until_waiting(0).await;
}

pub(crate) async fn closing_ends_the_wait<F: Framework>() {
    let rig = Rig::start::<F>().await;
    let mut browser = rig.begin().await;
    let mut tab = waiting(&browser).await;
    rig.until_waiting(1).await;
    rig.login.close();
    let ended = soon(tab.response()).await.unwrap();
    assert_eq!(ended.status, 200);
    assert!(ended.body.starts_with("retry: 3000\nevent: heartbeat\ndata: 100\n\n"), "{ended:?}");
    assert!(!ended.body.contains("event: state"), "{ended:?}");
    assert_eq!(soon(browser.get("/login/events")).await.status, 503);
}
