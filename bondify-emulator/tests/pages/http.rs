use std::time::Duration;

use axum::{Router, http::StatusCode, response::Html, routing::get};
use bondify_emulator::{Emulator, Persona, ProjectSettings};
use bondify_testkit::within_a_minute;
use example_support::browser::Browser;
use reqwest::{Client, RequestBuilder, Response, redirect::Policy};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{DEVICES, Receiver, SHOP, picture, shop, start};

fn request(emulator: &Emulator, method: &str, path: &str) -> RequestBuilder {
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    client.request(method.parse().unwrap(), format!("{}{path}", emulator.url()))
}

async fn get_page(emulator: &Emulator, path: &str) -> Response {
    request(emulator, "GET", path).send().await.unwrap()
}

/// Submits a form as a browser without JavaScript does. Returns the address of the redirect.
async fn submit(emulator: &Emulator, path: &str, fields: &[(&str, &str)]) -> String {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let form = request(emulator, "POST", path)
        .header("origin", emulator.url())
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = form.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 303, "{path}");
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// Every address that answers with HTML, with texts that look like markup.
async fn pages(emulator: &Emulator) -> Vec<String> {
    let session = emulator.generate(SHOP).unwrap().token;
    let bobby = Persona::new("1", "<img src=x onerror=alert(1)>").username("\"><script>");
    emulator.confirm(&session, bobby).unwrap();
    emulator.delivery_of(&session).await.unwrap();
    let event = emulator.send_test_event(SHOP, "<svg onload=alert(1)>").unwrap();
    emulator.finished(event.id).await.unwrap();
    let pending = emulator.generate(SHOP).unwrap().token;
    vec![
        "/".to_owned(),
        "/?tab=sessions".to_owned(),
        "/?tab=settings".to_owned(),
        "/?delivery=dlv_1".to_owned(),
        "/?delivery=dlv_2&text=%22%3E%3Cscript%3E".to_owned(),
        "/?project=%22%3E%3Cscript%3E".to_owned(),
        "/?delivery=%3Cscript%3E".to_owned(),
        format!("/bot?start={session}"),
        format!("/bot?start={pending}"),
        "/bot?start=%3Cscript%3E".to_owned(),
        "/bot".to_owned(),
    ]
}

/// Asserts that no such text became markup.
fn assert_escaped(html: &str, path: &str) {
    for markup in ["<script>", "<img src=x", "<svg onload", "<b>Thank"] {
        assert!(!html.contains(markup), "{markup} on {path}: {html}");
    }
}

#[tokio::test]
async fn every_page_has_the_security_headers_and_escapes_text() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let emulator =
            Emulator::builder().project(shop().webhook_url(receiver.url())).start().await.unwrap();
        for path in pages(&emulator).await {
            let answer = get_page(&emulator, &path).await;
            let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("content-type"), "text/html; charset=utf-8", "{path}");
            let policy = header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; ")
            );
            assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("referrer-policy"), "same-origin");
            assert_eq!(header("cache-control"), "no-store");
            assert_escaped(&answer.text().await.unwrap(), &path);
        }
    })
    .await;
}

#[tokio::test]
async fn hidden_characters_are_shown_escaped() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let project = shop().name("Shop\u{202e}pohS").webhook_url(receiver.url());
        let emulator = Emulator::builder().project(project).start().await.unwrap();
        let session = emulator.generate(SHOP).unwrap().token;
        emulator.confirm(&session, Persona::new("1", "Ada\u{2066}\u{9b}")).unwrap();
        emulator.delivery_of(&session).await.unwrap();
        let bot = format!("/bot?start={session}");
        for path in ["/", "/?delivery=dlv_1", "/?tab=sessions", "/?tab=settings", &bot] {
            let page = get_page(&emulator, path).await.text().await.unwrap();
            assert!(page.contains(r"Shop\u{202e}pohS"), "{path}");
            assert!(!page.contains(['\u{202e}', '\u{2066}', '\u{9b}']), "{path}");
        }
        let part = get_page(&emulator, "/inspector/feed").await.text().await.unwrap();
        assert!(part.contains(r"\u{202e}") && !part.contains('\u{202e}'));
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_64_kib_of_brackets_makes_no_large_page() {
    within_a_minute(async {
        let brackets = format!("{}{}", "[".repeat(32 * 1024), "]".repeat(32 * 1024));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().fallback(async move || brackets);
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        let emulator = Emulator::builder().project(shop().webhook_url(url)).start().await.unwrap();
        let sent = emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
        emulator.finished(sent.id).await.unwrap();
        let page = get_page(&emulator, "/?delivery=dlv_1").await.text().await.unwrap();
        assert!((64 * 1024..1024 * 1024).contains(&page.len()), "{}", page.len());
    })
    .await;
}

#[tokio::test]
async fn the_feed_is_escaped() {
    within_a_minute(async {
        let receiver = Receiver::start().await;
        let emulator =
            Emulator::builder().project(shop().webhook_url(receiver.url())).start().await.unwrap();
        // Rows name their project only if there are several.
        emulator.add_project(ProjectSettings::new().id("proj_other")).unwrap();
        pages(&emulator).await;
        let seen = get_page(&emulator, "/inspector/feed").await.text().await.unwrap();
        assert!(seen.contains("onload=alert"));
        assert!(seen.contains("&#60;script&#62;alert(1)"), "{seen}");
        assert_escaped(&seen, "the feed");
    })
    .await;
}

#[tokio::test]
async fn the_feed_has_the_number_of_the_next_change() {
    within_a_minute(async {
        let emulator = start(Emulator::builder()).await;
        let feed = async || {
            let answer = get_page(&emulator, "/inspector/feed").await;
            answer.headers()["next-change"].to_str().unwrap().parse::<u64>().unwrap()
        };
        let number = feed().await;
        assert_eq!(feed().await, number, "nothing has changed");
        emulator.generate(SHOP).unwrap();
        assert_eq!(feed().await, number + 1);
    })
    .await;
}

#[tokio::test]
async fn other_hosts_and_origins_get_no_page_and_change_nothing() {
    within_a_minute(async {
        let emulator = start(Emulator::builder()).await;
        let token = emulator.generate(SHOP).unwrap().token;
        let secret = emulator.project(SHOP).unwrap().reveal_secret().to_owned();
        let bot = format!("/bot?start={token}");
        let expire = format!("/inspector/sessions/{token}/expire");
        let calls = [
            ("GET", "/", ""),
            ("GET", "/inspector/feed", ""),
            ("GET", "/inspector/changes", ""),
            ("GET", &bot, ""),
            ("POST", &bot, "tap=cancel"),
            ("POST", &expire, ""),
            ("POST", "/inspector/projects/proj_shop/regenerate", ""),
            ("POST", "/inspector/projects/proj_shop/reveal", ""),
        ];
        for (name, value) in [
            ("host", "evil.example"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
        ] {
            for (method, path, body) in calls {
                let call = request(&emulator, method, path)
                    .header(name, value)
                    .header("content-type", "application/x-www-form-urlencoded");
                let answer = call.body(body).send().await.unwrap();
                assert_eq!(answer.status(), 403, "{method} {path} {name}: {value}");
                assert!(!answer.text().await.unwrap().contains("whsec_"));
            }
        }
        assert_eq!(emulator.session(&token).unwrap().status.name(), "pending");
        assert_eq!(emulator.project(SHOP).unwrap().reveal_secret(), secret);
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_call_the_emulator() {
    let receiver = Receiver::start().await;
    let emulator =
        Emulator::builder().project(shop().webhook_url(receiver.url())).start().await.unwrap();
    let url = emulator.url();
    let page = format!(
        "<form method=post action='{url}/inspector/projects/{SHOP}/test'>
         <input name=event value=auth.confirmed><button>Win</button></form>"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let foreign = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(async move || Html(page)));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });

    let Some(browser) = Browser::open().await else { return };
    browser.goto(&foreign).await;
    let read = format!("fetch('{url}/emulator/projects/{SHOP}/secret').catch(() => 'refused')");
    assert_eq!(browser.value_of(&read).await, "refused");
    let test = format!(
        "fetch('{url}/emulator/projects/{SHOP}/test', {{method: 'POST', mode: 'no-cors', body: '{{}}'}})"
    );
    assert_eq!(browser.value_of(&format!("{test}.then(() => 'sent')")).await, "sent");
    browser.click("button").await;
    browser.wait_for_text("a page of another origin may call the public API only").await;
    assert!(emulator.deliveries().is_empty());
}

#[tokio::test]
async fn the_pages_work_without_javascript() {
    within_a_minute(async {
        let mut receiver = Receiver::start().await;
        let emulator = start(Emulator::builder()).await;
        let project = || emulator.project(SHOP).unwrap();
        let path = |action: &str| format!("/inspector/projects/{SHOP}/{action}");

        let to = submit(&emulator, &path("webhook"), &[("webhook_url", receiver.url())]).await;
        assert_eq!(to, "/?project=proj_shop&tab=settings");
        assert_eq!(
            project().webhook_url.as_ref().unwrap().as_str(),
            format!("{}/", receiver.url())
        );
        submit(&emulator, &path("settings"), &[("plan", "pro"), ("active", "on")]).await;
        assert!(project().active && !project().public_access);
        submit(&emulator, &path("faults"), &[("fault", "delay"), ("delay_ms", "7")]).await;
        assert_eq!(project().faults[0].to_string(), "delay=7");
        submit(&emulator, &path("faults"), &[]).await;

        let bot = submit(&emulator, &path("sessions"), &[]).await;
        let confirm = [("tap", "confirm"), ("persona", &*Persona::default().telegram_id)];
        assert_eq!(submit(&emulator, &bot, &confirm).await, bot);
        let page = get_page(&emulator, &bot).await.text().await.unwrap();
        assert!(page.contains("You can go back to the app"));
        let first = receiver.next().await;
        let to = submit(&emulator, "/inspector/deliveries/dlv_1/resend", &[]).await;
        assert_eq!(to, "/?project=proj_shop&delivery=dlv_2");
        assert_eq!(receiver.next().await, first);
        let page = get_page(&emulator, &to).await.text().await.unwrap();
        assert!(page.contains(&first.signature));

        let secret = project().reveal_secret().to_owned();
        let page = get_page(&emulator, "/?tab=settings").await.text().await.unwrap();
        assert!(!page.contains(&secret));
        let reveal = request(&emulator, "POST", &path("reveal")).send().await.unwrap();
        assert!(reveal.text().await.unwrap().contains(&secret));
        submit(&emulator, &path("regenerate"), &[]).await;
        assert_ne!(project().reveal_secret(), secret);
    })
    .await;
}

/// Submits the form of a button and waits for its refusal.
async fn refuse(browser: &Browser, button: &str, reason: &str) {
    browser.click(button).await;
    let refusal = browser.find("#refusal").await.text().await.unwrap();
    assert!(refusal.contains(reason), "{refusal}");
}

async fn input(browser: &Browser, selector: &str) -> String {
    browser.find(selector).await.prop("value").await.unwrap().unwrap()
}

#[tokio::test]
async fn a_refused_form_keeps_its_input_without_javascript() {
    let receiver = Receiver::start().await;
    let emulator = Emulator::builder().project(shop().webhook_url(receiver.url()));
    let emulator = emulator.start().await.unwrap();
    let sent = emulator.send_test_event(SHOP, "auth.confirmed").unwrap();
    emulator.finished(sent.id).await.unwrap();
    let Some(browser) = Browser::open_without_scripts().await else { return };
    let url = |path: &str| format!("{}{path}", emulator.url());
    const WRONG: &str = "ftp://127.0.0.1/\"><b>";

    browser.goto(&url("/?tab=settings")).await;
    browser.fill("#webhook-url", WRONG).await;
    refuse(&browser, "#save-webhook", "webhook_url must be https://").await;
    assert_eq!(input(&browser, "#webhook-url").await, WRONG);

    browser.goto(&url("/?tab=settings")).await;
    browser.click("#fault-duplicate").await;
    browser.click("#fault-delay").await;
    browser.fill("#fault-delay-ms", "").await;
    refuse(&browser, "#faults noscript button", "the delay must be a number").await;
    browser.find("#fault-duplicate:checked").await;
    browser.find("#fault-delay:checked").await;
    assert_eq!(input(&browser, "#fault-delay-ms").await, "");

    browser.goto(&url("/")).await;
    browser.click("#new-project summary").await;
    browser.fill("#new-project [name=name]", "Corner & Shop").await;
    browser.fill("#new-project [name=webhook_url]", "ftp://127.0.0.1/").await;
    browser.click("#new-project [name=public_access]").await;
    refuse(&browser, "#new-project button", "webhook_url must be https://").await;
    assert_eq!(input(&browser, "#new-project[open] [name=name]").await, "Corner & Shop");
    assert_eq!(input(&browser, "#new-project [name=webhook_url]").await, "ftp://127.0.0.1/");
    browser.find("#new-project [name=public_access]:checked").await;

    browser.goto(&url("/?delivery=dlv_1")).await;
    browser.click("#edit summary").await;
    browser.fill("#edit-url", WRONG).await;
    browser.fill("#edit-body", "</textarea>{\n}").await;
    refuse(&browser, "#resend-changed", "webhook_url must be https://").await;
    assert_eq!(input(&browser, "#edit[open] #edit-url").await, WRONG);
    assert_eq!(input(&browser, "#edit-body").await, "</textarea>{\n}");
    for (name, device) in DEVICES {
        browser.show_on(device).await;
        picture(&browser, &format!("refused-{name}")).await;
    }
    assert_eq!((emulator.projects().len(), emulator.deliveries().len()), (1, 1));
}

/// A URL with a password, whose answers have a cookie and this text.
async fn telling(text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://ada:hunter2@{}/hook?a=1&b=%20", listener.local_addr().unwrap());
    let headers = [("set-cookie", "sid=cookie_secret"), ("content-type", "text/plain")];
    let answer = async move || (StatusCode::SERVICE_UNAVAILABLE, headers, text.clone());
    let router = Router::new().fallback(answer);
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    url
}

/// Asserts that a file is offered, and returns its content.
async fn download(emulator: &Emulator, path: &str, name: &str) -> String {
    let answer = get_page(emulator, path).await;
    assert_eq!(answer.status(), 200, "{path}");
    assert_eq!(answer.headers()["content-type"], "application/json");
    let expected = format!("attachment; filename=\"{name}\"");
    assert_eq!(answer.headers()["content-disposition"], *expected);
    answer.text().await.unwrap()
}

/// The fields that HAR 1.2 requires.
const HAR_FIELDS: [(&str, &[&str]); 9] = [
    ("/log", &["version", "creator", "entries"]),
    ("/log/creator", &["name", "version"]),
    ("/log/entries/0", &["startedDateTime", "time", "request", "response", "cache", "timings"]),
    (
        "/log/entries/0/request",
        &[
            "method",
            "url",
            "httpVersion",
            "cookies",
            "headers",
            "queryString",
            "postData",
            "headersSize",
            "bodySize",
        ],
    ),
    ("/log/entries/0/request/postData", &["mimeType", "params", "text"]),
    (
        "/log/entries/0/response",
        &[
            "status",
            "statusText",
            "httpVersion",
            "cookies",
            "headers",
            "content",
            "redirectURL",
            "headersSize",
            "bodySize",
        ],
    ),
    ("/log/entries/0/response/content", &["size", "mimeType", "text"]),
    ("/log/entries/0/request/headers/0", &["name", "value"]),
    ("/log/entries/0/timings", &["send", "wait", "receive"]),
];

#[tokio::test]
async fn deliveries_are_exported_as_json_and_har_without_secrets() {
    within_a_minute(async {
        let secret = "whsec_exported_secret";
        let url = telling(format!("my secret is {secret}")).await;
        let emulator = Emulator::builder().retries(1).retry_base(Duration::ZERO);
        let emulator = emulator.project(shop().secret(secret).webhook_url(url));
        let emulator = emulator.start().await.unwrap();
        emulator
            .add_project(ProjectSettings::new().id("other").webhook_url("http://127.0.0.1:1/"))
            .unwrap();
        for (project, event) in [(SHOP, "auth.confirmed"), ("other", "auth.cancelled")] {
            let sent = emulator.send_test_event(project, event).unwrap();
            emulator.finished(sent.id).await.unwrap();
        }
        let all = download(&emulator, "/inspector/export/har", "bondify-deliveries.har").await;
        let har: Value = serde_json::from_str(&all).unwrap();
        for (part, fields) in HAR_FIELDS {
            let part = har.pointer(part).unwrap_or_else(|| panic!("{part}: {all}"));
            assert!(fields.iter().all(|field| !part[field].is_null()), "{fields:?}: {part}");
        }
        let entries = har["log"]["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 4, "each attempt of each delivery");
        let started = entries.iter().map(|entry| entry["startedDateTime"].as_str().unwrap());
        assert!(started.is_sorted());
        let of = |id| entries.iter().find(|entry| entry["_delivery"] == id).unwrap();
        let (answered, refused) = (of("dlv_1"), of("dlv_2"));
        assert_eq!(answered["response"]["status"], 503);
        assert_eq!(answered["response"]["content"]["text"], "my secret is [redacted]");
        assert_eq!(answered["request"]["queryString"][1], json!({"name": "b", "value": " "}));
        assert_eq!(answered["timings"]["wait"], answered["time"]);
        let sent = emulator.deliveries()[1].body.clone();
        assert_eq!(answered["request"]["postData"]["text"], *sent);
        assert_eq!(
            (&refused["response"]["status"], refused["_error"].is_string()),
            (&json!(0), true)
        );

        let shown = "/inspector/export/json?event=auth.cancelled";
        let shown = download(&emulator, shown, "bondify-deliveries.json").await;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["deliveries"].as_array().unwrap().len(), 1, "only what is shown");
        assert_eq!(shown["deliveries"][0]["id"], "dlv_2");
        let one = "/inspector/export/json?delivery=dlv_1";
        let one = download(&emulator, one, "bondify-dlv_1.json").await;
        assert!(one.contains("\"dlv_1\"") && !one.contains("dlv_2"));
        for file in [&all, &one] {
            for secret in [secret, "hunter2", "cookie_secret", "Basic "] {
                assert!(!file.contains(secret), "{secret} in {file}");
            }
        }
        for unknown in ["json?delivery=dlv_9", "har?delivery=x", "json?project=x"] {
            let answer = get_page(&emulator, &format!("/inspector/export/{unknown}")).await;
            assert_eq!(answer.status(), 404, "{unknown}");
        }
        // The page links to the files.
        let page = get_page(&emulator, "/?event=auth.cancelled&delivery=dlv_1").await;
        let page = page.text().await.unwrap();
        for link in ["har?event=auth.cancelled\"", "har?delivery=dlv_1\""] {
            assert!(page.contains(&format!("href=\"/inspector/export/{link}")), "{link}: {page}");
        }
    })
    .await;
}

#[tokio::test]
async fn pages_have_a_style_a_script_and_an_icon() {
    within_a_minute(async {
        let emulator = start(Emulator::builder()).await;
        let page = get_page(&emulator, "/").await.text().await.unwrap();
        for (path, kind) in [
            ("/assets/pages.css", "text/css; charset=utf-8"),
            ("/assets/pages.js", "text/javascript; charset=utf-8"),
            ("/assets/icon.svg", "image/svg+xml"),
        ] {
            assert!(page.contains(path));
            let answer = get_page(&emulator, path).await;
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.headers()["content-type"], kind);
        }
        assert_eq!(get_page(&emulator, "/assets/other.js").await.status(), 404);
    })
    .await;
}
