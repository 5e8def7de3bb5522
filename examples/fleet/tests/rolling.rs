//! A rolling restart of two instances behind each proxy, with the guide's files, under load: no answer has a
//! status of 500 or above, and no event is handled twice.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bondify_axum::Secret;
use bondify_testkit::{Payload, WebhookRequest, within_a_minute};
use example_support::{
    process::{Example, own_address},
    proxy::{CADDY, HAPROXY, Kind, NGINX, Proxy, block, replace},
};
use tempfile::TempDir;
use tokio::{
    sync::watch,
    task::{JoinSet, block_in_place},
    time::sleep,
};

const BINARY: &str = env!("CARGO_BIN_EXE_example-fleet");
const PROXIES: &str = include_str!("../../../guide/reverse-proxies.md");
const INSTANCES: &str = include_str!("../../../guide/several-instances.md");

/// The names of the two instances on the page.
const NAMES: [&str; 2] = ["127.0.0.1:3001", "127.0.0.1:3002"];

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx() {
    let file = for_two(&NGINX, "    server 127.0.0.1:3000 max_fails=0;\n");
    rolling_restart(&NGINX, &file, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy() {
    let file = for_two(&HAPROXY, "    server app1 127.0.0.1:3000 check inter 1s rise 1\n");
    rolling_restart(&HAPROXY, &file, &[]).await;
}

/// Caddy repeats no webhook, so an instance announces its end.
#[tokio::test(flavor = "multi_thread")]
async fn behind_caddy() {
    let file = for_two(&CADDY, "\treverse_proxy 127.0.0.1:3000\n");
    rolling_restart(&CADDY, &file, &[("ANNOUNCE_SECONDS", "3")]).await;
}

/// The file of the page about proxies, in which the page about several instances replaces `one`.
fn for_two(kind: &Kind, one: &str) -> String {
    replace(block(PROXIES, kind.tag), one, block(INSTANCES, kind.tag))
}

async fn rolling_restart(
    kind: &Kind,
    file: &str,
    announcement: &'static [(&'static str, &'static str)],
) {
    let fleet = Fleet::start(announcement);
    let mut file = file.to_owned();
    for (name, address) in NAMES.iter().zip(&fleet.addresses) {
        file = replace(&file, name, &address.to_string());
    }
    let Some(proxy) = within_a_minute(Proxy::start(kind, &file)).await else { return };
    fleet.restarts_under_load(&proxy).await;
}

/// Two instances with one store.
struct Fleet {
    instances: VecDeque<Example>,
    addresses: VecDeque<SocketAddr>,
    store: String,
    announcement: &'static [(&'static str, &'static str)],
    _folder: TempDir,
    lines: Vec<String>,
}

impl Fleet {
    fn start(announcement: &'static [(&'static str, &'static str)]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let mut fleet = Self {
            instances: VecDeque::new(),
            addresses: VecDeque::new(),
            store: format!("sqlite:{}", folder.path().join("events.db").display()),
            announcement,
            _folder: folder,
            lines: Vec::new(),
        };
        fleet.add(own_address());
        fleet.add(own_address());
        fleet
    }

    fn add(&mut self, address: SocketAddr) {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let settings = [("HOST", &*host), ("PORT", &port), ("BONDIFY_STORE", &self.store)];
        let variables = [&settings, self.announcement].concat();
        self.instances.push_back(block_in_place(|| Example::start(BINARY, &variables)));
        self.addresses.push_back(address);
    }

    /// Stops the instance that has run for longest, and returns its address.
    fn stop(&mut self) -> SocketAddr {
        let oldest = self.instances.pop_front().expect("two run");
        self.lines.extend(block_in_place(|| oldest.is_ended_by("TERM")));
        self.addresses.pop_front().expect("each has an address")
    }

    /// Waits until the new instance handles an event. Before that, the end of the other may leave none that
    /// the proxy knows to be ready.
    fn is_in_use(&mut self) {
        let newest = self.instances.back().expect("two run");
        self.lines.push(block_in_place(|| newest.line()));
    }

    /// Restarts the instance that has run for longest, between deliveries.
    async fn restart(&mut self, load: &Load, down: Duration) {
        load.goes_on().await;
        let address = self.stop();
        load.goes_on().await;
        sleep(down).await;
        self.add(address);
        if !self.announcement.is_empty() {
            self.is_in_use();
        }
        load.goes_on().await;
    }

    /// Restarts each instance twice.
    async fn restarts_under_load(mut self, proxy: &Proxy) {
        let load = Load::start(proxy);
        // A proxy that watches its instances notices one of the two kinds of restart.
        for down in [Duration::ZERO, Duration::ZERO, LONG, LONG] {
            within_a_minute(self.restart(&load, down)).await;
        }
        let events = within_a_minute(load.end()).await;
        self.stop();
        self.stop();
        let handled = self.lines.iter().collect::<HashSet<_>>().len();
        assert_eq!((handled, self.lines.len()), (events, events), "each event is handled once");
    }
}

/// Longer than a proxy needs to notice that an instance is down.
const LONG: Duration = Duration::from_secs(3);

/// Events that are delivered twice each, as fast as they are answered, by tasks that run until the end.
struct Load {
    tasks: JoinSet<()>,
    ends: Arc<AtomicBool>,
    events: Arc<AtomicUsize>,
    accepted: watch::Receiver<usize>,
}

impl Load {
    const TASKS: usize = 8;

    fn start(proxy: &Proxy) -> Self {
        let (accepted, receiver) = watch::channel(0);
        let (ends, events) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut load = Self { tasks: JoinSet::new(), ends, events, accepted: receiver };
        for _ in 0..Self::TASKS {
            let (ends, events, accepted) =
                (load.ends.clone(), load.events.clone(), accepted.clone());
            let (client, url) = (proxy.client.clone(), format!("{}/webhooks/bondify", proxy.url));
            load.tasks.spawn(async move {
                while !ends.load(SeqCst) {
                    let request = request(events.fetch_add(1, SeqCst));
                    let deliver = || until_accepted(&client, &url, &request);
                    tokio::join!(deliver(), deliver());
                    accepted.send_modify(|accepted| *accepted += 1);
                }
            });
        }
        load
    }

    /// Waits until each task has delivered a few more events.
    async fn goes_on(&self) {
        let mut accepted = self.accepted.clone();
        let wanted = *accepted.borrow() + 10 * Self::TASKS;
        accepted.wait_for(|&accepted| accepted >= wanted).await.expect("the load goes on");
    }

    /// The number of events.
    async fn end(self) -> usize {
        self.ends.store(true, SeqCst);
        self.tasks.join_all().await;
        self.events.load(SeqCst)
    }
}

fn request(event: usize) -> WebhookRequest {
    let secret = Secret::new("whsec_test").expect("it is one");
    Payload::confirmed().session_token(format!("sess_{event}")).signed_with(&secret)
}

/// Delivers as Bondify does: again after a 409, which tells that another delivery has not ended.
async fn until_accepted(client: &reqwest::Client, url: &str, request: &WebhookRequest) {
    loop {
        let mut post = client.post(url);
        for (name, value) in request.headers() {
            post = post.header(name, value);
        }
        let response = post.body(request.body().clone()).send().await.expect("an answer");
        match response.status().as_u16() {
            200 | 204 => return,
            409 => {}
            status => panic!("{status}: {:?}", response.text().await),
        }
    }
}
