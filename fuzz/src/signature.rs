use bondify_core::Signature;

/// A signature is read if and only if it is 64 hexadecimal digits with ASCII whitespace around
/// them, and is formatted as the same digits in lower case.
pub fn signature(data: &[u8]) {
    let expected = digits(data);
    let read = Signature::parse(data);
    assert_eq!(read.as_ref().ok().map(ToString::to_string), expected, "{data:?}");
    if let Ok(text) = std::str::from_utf8(data) {
        let read = text.parse::<Signature>();
        assert_eq!(read.ok().map(|signature| signature.to_string()), expected, "{data:?}");
    }
    if let Some(text) = expected {
        let again = Signature::parse(text.as_bytes()).expect("is read again");
        assert_eq!(again.to_string(), text);
    }
}

fn digits(data: &[u8]) -> Option<String> {
    let is_space = |byte: &u8| [b' ', b'\t', b'\n', b'\r', 12].contains(byte);
    let start = data.iter().position(|byte| !is_space(byte))?;
    let end = data.iter().rposition(|byte| !is_space(byte))? + 1;
    let text = String::from_utf8(data[start..end].to_vec()).ok()?;
    let is_signature = text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
    is_signature.then(|| text.to_ascii_lowercase())
}
