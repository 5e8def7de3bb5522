//! Cookies that other applications of the same host set, for tests of code that reads cookies.

/// Cookies of other applications, each as a `Cookie` header contains it. A server must find its own cookie
/// before and after each of them.
///
/// Not all are UTF-8: browsers send back the bytes that an application has set.
///
/// ```
/// for foreign in bondify_testkit::cookies::foreign() {
///     let header = [b"cookie: ", &*foreign, b"; session=1\r\n"].concat();
///     assert!(header.ends_with(b"session=1\r\n"));
/// }
/// ```
#[must_use]
pub fn foreign() -> Vec<Vec<u8>> {
    let large = [b"large=", &*vec![b'x'; 8 * 1024]].concat();
    let many = ["theme=dark"; 100].join("; ").into_bytes();
    let short: [&[u8]; 13] = [
        "city=Zürich".as_bytes(),
        b"city=Z\xfcrich",
        b"\xff\xfe=\x80",
        b"quoted=\"a, b\"",
        b"half=\"a",
        b"json={\"a\":[1,2]}",
        b"",
        b"empty=",
        b"=no name",
        b"no value",
        b"encoded=%ff%00%",
        b"equals=a=b==",
        b" spaced = a b ",
    ];
    short.map(Vec::from).into_iter().chain([large, many]).collect()
}

/// Cookies with this value whose names look like `name`, each as a `Cookie` header contains it. A server must
/// not take one of them for its own: browsers let a subdomain set most of them, also if `name` begins with
/// `__Host-`.
///
/// ```
/// use bondify_testkit::cookies::lookalikes;
///
/// for cookie in lookalikes("session", "stolen") {
///     let header = [b"cookie: ", &*cookie, b"\r\n"].concat();
///     // Send it, and assert that nobody is signed in.
/// #     assert!(header.len() > 10);
/// }
/// ```
#[must_use]
pub fn lookalikes(name: &str, value: &str) -> Vec<Vec<u8>> {
    let upper = name.to_uppercase();
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    [
        format!("\u{2000}{name}={value}"),
        format!("{name}\u{2003}={value}"),
        format!("\u{a0}{name}={value}"),
        format!("{name}\u{85}={value}"),
        format!("\u{feff}{name}={value}"),
        format!("{upper}={value}"),
        format!("x{name}={value}"),
        format!("{name}x={value}"),
        format!("\"{name}\"={value}"),
        format!("{encoded}={value}"),
        format!("a={name}={value}"),
    ]
    .map(String::into_bytes)
    .into()
}
