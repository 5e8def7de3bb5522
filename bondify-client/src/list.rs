use std::{
    cell::Cell,
    fmt,
    future::pending,
    io::{self, ErrorKind},
    panic::resume_unwind,
    time::Duration,
};

use reqwest::RequestBuilder;
use serde::{
    Deserializer as _,
    de::{self, DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Deserializer, value::RawValue};
use tokio::{sync::mpsc, task::spawn_blocking};

use crate::{
    Client, Error,
    call::accepted,
    wire::{Maybe, Text, object},
};

/// A list that the API sent.
///
/// A record that cannot be read does not make the call fail. Check [`unreadable`](Self::unreadable) and
/// [`has_more`](Self::has_more) if the list has to be complete.
///
/// ```no_run
/// use bondify_client::{Developer, Error};
///
/// async fn print_projects(developer: &Developer) -> Result<(), Error> {
///     let projects = developer.projects().await?;
///     for project in &projects.records {
///         println!("{} {}", project.project_id, project.name);
///     }
///     if projects.unreadable > 0 || projects.has_more {
///         println!("the list is not complete: {:?}", projects.problem);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct List<T> {
    /// The records that could be read, in the order in which the API sent them.
    pub records: Vec<T>,
    /// The number of records that could not be read.
    pub unreadable: u64,
    /// The error of the first record that could not be read. It names the field, for example
    /// `sessions[17].session_token`, and contains nothing personal.
    pub problem: Option<String>,
    /// Whether the API says that it has more records than it sent. Bondify documents no way to request them.
    pub has_more: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { records: Vec::new(), unreadable: 0, problem: None, has_more: false }
    }
}

impl<T> List<T> {
    /// Reads the list of a field. A field that is not a list is an empty one.
    pub(crate) fn of<R>(name: &'static str, records: Maybe<Vec<Box<RawValue>>>) -> Self
    where
        R: DeserializeOwned + TryInto<T, Error = Error>,
    {
        let mut list = Self::default();
        for (index, json) in records.0.into_iter().flatten().enumerate() {
            list.add(name, index, record(json.get()).and_then(R::try_into).map(Some));
        }
        list
    }

    pub(crate) fn map<U>(self, change: impl FnMut(T) -> U) -> List<U> {
        let Self { records, unreadable, problem, has_more } = self;
        let records = records.into_iter().map(change).collect();
        List { records, unreadable, problem, has_more }
    }

    fn add(&mut self, name: &'static str, index: usize, record: Result<Option<T>, Error>) {
        match record {
            Ok(record) => self.records.extend(record),
            Err(error) => {
                self.unreadable += 1;
                self.problem.get_or_insert_with(|| error.within(name, index).to_string());
            }
        }
    }
}

fn record<R: DeserializeOwned>(json: &str) -> Result<R, Error> {
    object(json).ok_or_else(|| Error::field(""))
}

/// The time-out of a whole list. A part of it has to arrive within the client's time-out.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The number of chunks of a response that wait to be read.
const CHUNKS: usize = 4;

/// Requests the list in the field `name` of a response, and reads it while it arrives. `keep` is called with
/// each record, and returns what is kept of it. So a list of any length needs the memory of the records that
/// are kept, and of one chunk and one record.
pub(crate) async fn list<R, T>(
    request: RequestBuilder,
    name: &'static str,
    keep: impl FnMut(R) -> Result<Option<T>, Error> + Send + 'static,
) -> Result<List<T>, Error>
where
    R: DeserializeOwned,
    T: Send + 'static,
{
    let mut response = accepted(request.timeout(TIMEOUT)).await?;
    let (chunks, received) = mpsc::channel(CHUNKS);
    // serde_json reads from a blocking reader only.
    let parsed = spawn_blocking(move || parse(received, name, keep));
    while let Some(chunk) = response.chunk().await.map_err(Error::transport)? {
        if chunks.send(chunk).await.is_err() {
            break; // The parser has failed.
        }
    }
    drop(chunks);
    match parsed.await.map_err(|error| error.try_into_panic()) {
        Ok(parsed) => parsed,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => pending().await, // The runtime ends, and this future with it.
    }
}

fn parse<R: DeserializeOwned, T>(
    chunks: mpsc::Receiver<impl AsRef<[u8]>>,
    name: &'static str,
    mut keep: impl FnMut(R) -> Result<Option<T>, Error>,
) -> Result<List<T>, Error> {
    let bound = Cell::new(Client::MAX_RESPONSE_BYTES);
    let (mut list, mut index) = (List::default(), 0);
    let mut each = |json: &str| {
        list.add(name, index, record(json).and_then(&mut keep));
        index += 1;
    };
    let mut json = Deserializer::from_reader(Body { chunks, chunk: None, read: 0, bound: &bound });
    let envelope = Envelope { name, each: &mut each, bound: &bound };
    let has_more = json.deserialize_map(envelope).and_then(|read| json.end().map(|()| read));
    list.has_more = has_more.map_err(|error| match error.classify() {
        serde_json::error::Category::Io => Error::too_large(Client::MAX_RESPONSE_BYTES),
        _ => Error::malformed(&error),
    })?;
    Ok(list)
}

/// The body of a response. At most `bound` bytes are read before the bound is renewed.
struct Body<'a, C> {
    chunks: mpsc::Receiver<C>,
    chunk: Option<C>,
    /// The number of bytes of the chunk that were read.
    read: usize,
    bound: &'a Cell<usize>,
}

impl<C: AsRef<[u8]>> io::Read for Body<'_, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = self.chunk.as_ref().map_or(&[][..], |chunk| &chunk.as_ref()[self.read..]);
            let length = rest.len().min(buffer.len());
            if length > 0 {
                let bound = self.bound.get().checked_sub(length);
                self.bound.set(bound.ok_or(ErrorKind::FileTooLarge)?);
                buffer[..length].copy_from_slice(&rest[..length]);
                self.read += length;
                return Ok(length);
            }
            self.chunk = self.chunks.blocking_recv();
            self.read = 0;
            if self.chunk.is_none() {
                return Ok(0);
            }
        }
    }
}

/// The object around a list. Its value is whether the API has more records.
struct Envelope<'a> {
    name: &'static str,
    each: &'a mut dyn FnMut(&str),
    bound: &'a Cell<usize>,
}

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a list `{}`", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<bool, A::Error> {
        let (mut is_complete, mut has_more) = (false, false);
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                key if key == self.name => {
                    map.next_value_seed(&mut self)?;
                    is_complete = true;
                }
                "has_more" => has_more = map.next_value::<Maybe<bool>>()?.0 == Some(true),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            self.bound.set(Client::MAX_RESPONSE_BYTES);
        }
        if is_complete { Ok(has_more) } else { Err(de::Error::missing_field(self.name)) }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Envelope<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Envelope<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while let Some(json) = records.next_element::<Box<RawValue>>()? {
            self.bound.set(Client::MAX_RESPONSE_BYTES);
            (self.each)(json.get());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Row {
        id: Maybe<String>,
    }

    /// Reads a body that arrives in chunks of this size.
    fn rows(body: &str, size: usize) -> Result<List<String>, Error> {
        let (chunks, received) = mpsc::channel(body.len() + 1);
        for chunk in body.as_bytes().chunks(size) {
            chunks.try_send(chunk.to_vec()).unwrap();
        }
        drop(chunks);
        parse(received, "rows", |row: Row| row.id.required("id").map(Some))
    }

    #[test]
    fn records_are_read_in_chunks_of_any_size() {
        let body =
            r#" {"before":[{"rows":[]}],"rows":[{"id":"ä\"]"}, {"id":2,"x":[{}]}],"n":{"a":1}} "#;
        for size in 1..body.len() {
            let list = rows(body, size).unwrap();
            assert_eq!(list.records, ["ä\"]", "2"]);
            assert_eq!((list.unreadable, list.has_more), (0, false));
        }
        assert_eq!(rows(r#"{"rows":[]}"#, 3).unwrap(), List::default());
    }

    #[test]
    fn a_malformed_record_is_left_out_and_its_path_is_reported() {
        let body = r#"{"rows":[{"id":"a"},{"id":null},{"id":"\ud83d"},7,null,["x"],{},{"id":1e400},
            {"id":"z","n":1e400}]}"#;
        let list = rows(body, 7).unwrap();
        assert_eq!(list.records, ["a", "\u{fffd}", "z"]);
        assert_eq!(list.unreadable, 6);
        assert!(list.problem.unwrap().contains("`rows[1].id`"));
        let list = rows(r#"{"rows":["hush"]}"#, 7).unwrap();
        assert!(list.problem.unwrap().contains("`rows[0]`"));
    }

    #[test]
    fn a_list_that_is_not_complete_says_so() {
        for (body, expected) in [
            (r#"{"has_more":true,"rows":[]}"#, true),
            (r#"{"rows":[],"has_more":1}"#, true),
            (r#"{"rows":[],"has_more":"true"}"#, true),
            (r#"{"rows":[],"has_more":false}"#, false),
            (r#"{"rows":[],"has_more":null}"#, false),
        ] {
            assert_eq!(rows(body, 5).unwrap().has_more, expected, "{body}");
        }
    }

    #[test]
    fn other_json_and_half_a_list_are_errors() {
        for body in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"rows":null}"#,
            r#"{"rows":{}}"#,
            r#"{"rows":[{"id":1}"#,
            r#"{"rows":[{"id":1}]"#,
            r#"{"rows":[{"id":1},]}"#,
            r#"{"rows":[]}}"#,
        ] {
            assert!(rows(body, 4).is_err(), "{body}");
        }
    }

    #[test]
    fn each_record_is_bounded_and_the_list_is_not() {
        let half = "x".repeat(Client::MAX_RESPONSE_BYTES / 2);
        let record = format!(r#"{{"id":1,"x":"{half}"}}"#);
        let fits = format!(r#"{{"a":"{half}","rows":[{record},{record},{record}],"b":"{half}"}}"#);
        assert_eq!(rows(&fits, 1 << 16).unwrap().records.len(), 3);
        for too_large in [
            format!(r#"{{"rows":[{{"id":1,"x":"{half}{half}"}}]}}"#),
            format!(r#"{{"x":"{half}{half}","rows":[]}}"#),
            format!(r#"{{"{half}{half}":1,"rows":[]}}"#),
            format!(r#"{{"rows":[{}"#, " ".repeat(Client::MAX_RESPONSE_BYTES)),
        ] {
            let error = rows(&too_large, 1 << 16).unwrap_err();
            assert!(error.to_string().contains("larger than 8388608 bytes"), "{error}");
        }
    }
}
