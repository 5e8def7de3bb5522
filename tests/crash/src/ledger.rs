use std::{
    collections::{HashMap, HashSet},
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::Mode;

/// A log of effects, answers and kills, in a file that all processes append to. A line has a Unix time
/// in milliseconds. It is written by one call, and stays when its writer is killed.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<File>);

/// A line of the [`Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the judge has to know them all")]
pub enum Entry {
    /// An event took effect in a process.
    Effect {
        /// The event's number.
        event: usize,
        /// The process's number.
        process: usize,
    },
    /// A process has answered a delivery of an event with a 2xx.
    Answer {
        /// The event's number.
        event: usize,
        /// The process's number.
        process: usize,
    },
    /// A process is about to be killed.
    Kill {
        /// The process's number.
        process: usize,
    },
    /// The store was restarted, or its connections carry data again.
    Restart {
        /// The time that it was unavailable.
        millis: u64,
    },
}

impl Ledger {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    ///
    /// The file system's error.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        File::options().append(true).create(true).open(path).map(|file| Self(Arc::new(file)))
    }

    /// Writes a line.
    ///
    /// # Panics
    ///
    /// If the disk is full.
    pub fn note(&self, entry: Entry) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let line = format!("{} {entry}\n", now.as_millis());
        (&*self.0).write_all(line.as_bytes()).expect("there is room for a line");
    }
}

pub(crate) fn read(path: &Path) -> Vec<Entry> {
    read_with_times(path).into_iter().map(|(_, entry)| entry).collect()
}

/// The entries, each with its time.
pub(crate) fn read_with_times(path: &Path) -> Vec<(Duration, Entry)> {
    let ledger = fs::read_to_string(path).expect("it was opened");
    let parse = |line: &str| {
        let (time, entry) = line.split_once(' ')?;
        Some((Duration::from_millis(time.parse().ok()?), entry.parse().ok()?))
    };
    ledger.lines().map(|line| parse(line).expect("all lines are entries")).collect()
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Effect { event, process } => write!(f, "effect {event} {process}"),
            Self::Answer { event, process } => write!(f, "answer {event} {process}"),
            Self::Kill { process } => write!(f, "kill {process}"),
            Self::Restart { millis } => write!(f, "restart {millis}"),
        }
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (kind, numbers) = line.split_once(' ').unwrap_or((line, ""));
        let numbers: Result<Vec<_>, _> = numbers.split(' ').map(str::parse).collect();
        match (kind, numbers.as_deref()) {
            ("effect", Ok(&[event, process])) => Ok(Self::Effect { event, process }),
            ("answer", Ok(&[event, process])) => Ok(Self::Answer { event, process }),
            ("kill", Ok(&[process])) => Ok(Self::Kill { process }),
            ("restart", Ok(&[millis])) => Ok(Self::Restart { millis: millis as u64 }),
            _ => Err(format!("{line:?} is no entry")),
        }
    }
}

/// The result of judging the entries.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) faults: Vec<String>,
    pub(crate) killed: usize,
    /// Effects whose process was killed before it answered.
    pub(crate) cut_off: usize,
    /// Effects that came after another of the same event.
    pub(crate) doubles: usize,
    /// How long the store was unavailable, for each restart.
    pub(crate) away: Vec<Duration>,
}

/// Checks that each event took effect. It may do so again only with claims, and only after the
/// process that handled it was killed before it answered.
pub(crate) fn judge(mode: Mode, events: usize, entries: &[Entry]) -> Verdict {
    let (mut killed, mut answers, mut answered) = (HashSet::new(), HashSet::new(), HashSet::new());
    let (mut effects, mut last_effect) = (Vec::new(), HashMap::new());
    let (mut faults, mut away) = (Vec::new(), Vec::new());
    for &entry in entries {
        match entry {
            Entry::Kill { process } => drop(killed.insert(process)),
            Entry::Restart { millis } => away.push(Duration::from_millis(millis)),
            Entry::Answer { event, process } => {
                answers.insert((event, process));
                answered.insert(event);
            }
            Entry::Effect { event, process } => {
                effects.push((event, process));
                let Some(earlier) = last_effect.insert(event, process) else { continue };
                let died_with_it = killed.contains(&earlier) && !answered.contains(&event);
                if mode == Mode::Inbox || !died_with_it {
                    let history = history(event, entries);
                    faults.push(format!("event {event} took effect again: {history}"));
                }
            }
        }
    }
    let missing = (0..events).filter(|event| !last_effect.contains_key(event));
    faults.extend(missing.map(|event| format!("event {event} never took effect")));
    let is_cut_off =
        |effect: &&(usize, usize)| killed.contains(&effect.1) && !answers.contains(*effect);
    Verdict {
        faults,
        killed: killed.len(),
        cut_off: effects.iter().filter(is_cut_off).count(),
        doubles: effects.len() - last_effect.len(),
        away,
    }
}

/// The result of a soak.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// The events that never took effect.
    pub(crate) lost: Vec<usize>,
    /// The effects of events that were never sent.
    pub(crate) forged: usize,
    /// The effects that were repeated after a kill.
    pub(crate) after_deaths: usize,
    /// The effects that were repeated in another process, after the store was unavailable for longer than a
    /// lease: no process knows what another one could not complete.
    pub(crate) after_outages: usize,
    /// The events that took effect again although no process was killed.
    pub(crate) doubled: Vec<usize>,
}

/// The time within which a process settles an event after its effect. If the process is killed within it,
/// the event may take effect again.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

/// Checks that each event took effect, and again only after the process that handled it was killed, or the
/// store was unavailable for longer than a lease, before it can have settled it.
pub(crate) fn balance(lease: Duration, events: usize, entries: &[(Duration, Entry)]) -> Balance {
    let mut balance = Balance::default();
    let outages = entries.iter().filter_map(|&(end, entry)| match entry {
        Entry::Restart { millis } => Some((end, Duration::from_millis(millis))),
        _ => None,
    });
    let outages: Vec<_> = outages.filter(|&(_, length)| length > lease).collect();
    let is_in_outage = |handled_at: Duration| {
        let begins = |end, length| end - length < handled_at + SETTLED_WITHIN;
        outages.iter().any(|&(end, length)| begins(end, length) && handled_at < end)
    };
    let (mut deaths, mut last_effect) = (HashMap::new(), HashMap::new());
    for &(at, entry) in entries {
        match entry {
            Entry::Kill { process } => drop(deaths.insert(process, at)),
            Entry::Effect { event, .. } if event >= events => balance.forged += 1,
            Entry::Effect { event, process } => {
                let Some((handled_at, earlier)) = last_effect.insert(event, (at, process)) else {
                    continue;
                };
                let death = deaths.get(&earlier);
                if death.is_some_and(|&death| death <= handled_at + SETTLED_WITHIN) {
                    balance.after_deaths += 1;
                } else if earlier != process && is_in_outage(handled_at) {
                    balance.after_outages += 1;
                } else {
                    balance.doubled.push(event);
                }
            }
            _ => {}
        }
    }
    balance.lost = (0..events).filter(|event| !last_effect.contains_key(event)).collect();
    balance
}

/// The [`history`] of an event, each entry with the seconds since the first effect.
pub(crate) fn timed_history(event: usize, entries: &[(Duration, Entry)]) -> String {
    let plain: Vec<_> = entries.iter().map(|&(_, entry)| entry).collect();
    let is_here = of_event(event, &plain);
    let effect_at = |&(at, entry): &(Duration, Entry)| match entry {
        Entry::Effect { event: other, .. } if other == event => Some(at.as_secs_f64()),
        _ => None,
    };
    let first = entries.iter().find_map(effect_at).unwrap_or_default();
    let here = entries.iter().filter(|(_, entry)| is_here(entry));
    let lines = here.map(|(at, entry)| format!("{:.1} s: {entry}", at.as_secs_f64() - first));
    lines.collect::<Vec<_>>().join(", ")
}

/// The entries of an event, of the kills of its processes, and of the store.
pub(crate) fn history(event: usize, entries: &[Entry]) -> String {
    let is_here = of_event(event, entries);
    let lines = entries.iter().filter(|entry| is_here(entry)).map(Entry::to_string);
    lines.collect::<Vec<_>>().join(", ")
}

/// Whether an entry is of an event, of the kill of one of its processes, or of the store.
fn of_event(event: usize, entries: &[Entry]) -> impl Fn(&Entry) -> bool + '_ {
    move |entry| match *entry {
        Entry::Effect { event: other, .. } | Entry::Answer { event: other, .. } => other == event,
        Entry::Kill { process } => entries.contains(&Entry::Effect { event, process }),
        Entry::Restart { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Entry::{Answer, Effect, Kill, Restart},
        *,
    };

    const ONE: Entry = Effect { event: 0, process: 1 };
    const TWO: Entry = Effect { event: 0, process: 2 };
    const DEATH: Entry = Kill { process: 1 };
    const ANSWER: Entry = Answer { event: 0, process: 2 };

    fn faults(mode: Mode, entries: &[Entry]) -> usize {
        judge(mode, 1, entries).faults.len()
    }

    #[test]
    fn an_entry_can_be_read_again() {
        for entry in [ONE, DEATH, ANSWER, Restart { millis: 312 }] {
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
    }

    #[test]
    fn a_second_effect_is_allowed_after_a_kill_without_an_answer() {
        assert_eq!(faults(Mode::Claims, &[ONE, ANSWER, DEATH]), 0);
        assert_eq!(faults(Mode::Claims, &[ONE, DEATH, TWO, ANSWER]), 0);
        assert_eq!(faults(Mode::Claims, &[ONE, TWO, ANSWER]), 1);
        assert_eq!(faults(Mode::Claims, &[ONE, TWO, ANSWER, DEATH]), 1);
        assert_eq!(faults(Mode::Claims, &[ONE, ANSWER, DEATH, TWO]), 1);
        let verdict = judge(Mode::Claims, 1, &[ONE, DEATH, TWO, ANSWER]);
        assert_eq!((verdict.doubles, verdict.cut_off, verdict.killed), (1, 1, 1));
    }

    #[test]
    fn the_inbox_allows_no_second_effect_after_a_death() {
        assert_eq!(faults(Mode::Inbox, &[ONE, DEATH, ANSWER]), 0);
        assert_eq!(faults(Mode::Inbox, &[ONE, DEATH, TWO, ANSWER]), 1);
    }

    #[test]
    fn an_event_without_effect_is_lost() {
        for mode in [Mode::Claims, Mode::Inbox] {
            assert_eq!(judge(mode, 2, &[ONE]).faults, ["event 1 never took effect"]);
        }
    }

    #[test]
    fn a_soak_allows_a_second_effect_after_a_death_or_a_long_outage_soon_after_the_first() {
        let after = |seconds, entry| (Duration::from_secs(seconds), entry);
        let balance = |events, entries: &[(Duration, Entry)]| {
            let Balance { lost, forged, after_deaths, after_outages, doubled } =
                balance(Duration::from_secs(10), events, entries);
            (lost.len(), forged, after_deaths + after_outages, doubled.len())
        };
        let [first, again] = [after(0, ONE), after(40, TWO)];
        assert_eq!(balance(1, &[first, after(5, DEATH), again]), (0, 0, 1, 0));
        assert_eq!(balance(1, &[first, after(30, DEATH), again]), (0, 0, 0, 1));
        assert_eq!(balance(1, &[first, again, after(41, DEATH)]), (0, 0, 0, 1));
        assert_eq!(balance(1, &[first, after(1, Kill { process: 3 }), again]), (0, 0, 0, 1));
        let [long, short] = [16_000, 4_000].map(|millis| Restart { millis });
        let same = after(40, ONE);
        assert_eq!(balance(1, &[first, after(20, long), again]), (0, 0, 1, 0));
        assert_eq!(balance(1, &[first, after(20, long), same]), (0, 0, 0, 1));
        assert_eq!(balance(1, &[first, after(20, short), again]), (0, 0, 0, 1));
        assert_eq!(balance(1, &[first, after(35, long), again]), (0, 0, 0, 1));
        assert_eq!(balance(2, &[first]), (1, 0, 0, 0));
        assert_eq!(balance(0, &[first]), (0, 1, 0, 0));
    }

    #[test]
    fn a_fault_has_the_history_of_its_event() {
        let other = [Effect { event: 1, process: 3 }, Kill { process: 3 }];
        let entries = [&[ONE, TWO, DEATH][..], &other].concat();
        let faults = judge(Mode::Claims, 2, &entries).faults;
        assert_eq!(faults, ["event 0 took effect again: effect 0 1, effect 0 2, kill 1"]);
    }
}
