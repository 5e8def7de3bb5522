use std::{
    collections::{HashMap, HashSet},
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    str::FromStr,
    sync::Arc,
};

/// What happened in which order, in a file that all processes write to. A line is written
/// in one piece, and stays when its writer is killed.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<File>);

/// A line of the [`Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the judge has to know them all")]
pub enum Entry {
    /// An event took effect in a process.
    Effect {
        /// Which event.
        event: usize,
        /// Where.
        process: usize,
    },
    /// A process has answered a delivery of an event with a 2xx.
    Answer {
        /// Which event.
        event: usize,
        /// Who.
        process: usize,
    },
    /// A process is about to be killed.
    Kill {
        /// Which one.
        process: usize,
    },
}

impl Ledger {
    /// Opens the file, new or not.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        File::options().append(true).create(true).open(path).map(|file| Self(Arc::new(file)))
    }

    /// Writes a line.
    ///
    /// # Panics
    ///
    /// If the disk is full.
    pub fn note(&self, entry: Entry) {
        let line = format!("{entry}\n");
        (&*self.0).write_all(line.as_bytes()).expect("there is room for a line");
    }
}

pub(crate) fn read(path: &Path) -> Vec<Entry> {
    let ledger = fs::read_to_string(path).expect("it was opened");
    ledger.lines().map(|line| line.parse().expect("all lines are entries")).collect()
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Effect { event, process } => write!(f, "effect {event} {process}"),
            Self::Answer { event, process } => write!(f, "answer {event} {process}"),
            Self::Kill { process } => write!(f, "kill {process}"),
        }
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (kind, numbers) = line.split_once(' ').unwrap_or((line, ""));
        let numbers: Result<Vec<usize>, _> = numbers.split(' ').map(str::parse).collect();
        match (kind, numbers.as_deref()) {
            ("effect", Ok(&[event, process])) => Ok(Self::Effect { event, process }),
            ("answer", Ok(&[event, process])) => Ok(Self::Answer { event, process }),
            ("kill", Ok(&[process])) => Ok(Self::Kill { process }),
            _ => Err(format!("{line:?} is no entry")),
        }
    }
}

/// What the entries show.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) faults: Vec<String>,
    pub(crate) killed: usize,
    /// Effects whose process was killed before it answered.
    pub(crate) cut_off: usize,
    /// Effects that came after another of the same event.
    pub(crate) doubles: usize,
}

/// Each event took effect, and again only after a process had died with it, unanswered.
pub(crate) fn judge_claims(events: usize, entries: &[Entry]) -> Verdict {
    let mut verdict = count(events, entries);
    let (mut killed, mut answered) = (HashSet::new(), HashSet::new());
    let mut last_effect = HashMap::new();
    for &entry in entries {
        match entry {
            Entry::Kill { process } => drop(killed.insert(process)),
            Entry::Answer { event, .. } => drop(answered.insert(event)),
            Entry::Effect { event, process } => {
                let Some(earlier) = last_effect.insert(event, process) else { continue };
                let again = format!(
                    "event {event} took effect in process {earlier} and again in {process}, though"
                );
                if answered.contains(&event) {
                    verdict.faults.push(format!("{again} it had been answered with a 2xx"));
                } else if !killed.contains(&earlier) {
                    verdict.faults.push(format!("{again} {earlier} had not been killed"));
                }
            }
        }
    }
    verdict
}

/// Each event took effect, and none again.
pub(crate) fn judge_inbox(events: usize, entries: &[Entry]) -> Verdict {
    let mut verdict = count(events, entries);
    let mut seen = HashMap::new();
    for &entry in entries {
        if let Entry::Effect { event, process } = entry
            && let Some(other) = seen.insert(event, process)
        {
            verdict.faults.push(format!("event {event} took effect in {other} and in {process}"));
        }
    }
    verdict
}

fn count(events: usize, entries: &[Entry]) -> Verdict {
    let (mut effects, mut answers, mut killed) = (Vec::new(), HashSet::new(), HashSet::new());
    for &entry in entries {
        match entry {
            Entry::Effect { event, process } => effects.push((event, process)),
            Entry::Answer { event, process } => drop(answers.insert((event, process))),
            Entry::Kill { process } => drop(killed.insert(process)),
        }
    }
    let took_effect: HashSet<_> = effects.iter().map(|&(event, _)| event).collect();
    let missing = (0..events).filter(|event| !took_effect.contains(event));
    let is_cut_off =
        |effect: &&(usize, usize)| killed.contains(&effect.1) && !answers.contains(*effect);
    Verdict {
        faults: missing.map(|event| format!("event {event} never took effect")).collect(),
        killed: killed.len(),
        cut_off: effects.iter().filter(is_cut_off).count(),
        doubles: effects.len() - took_effect.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Entry::{Answer, Effect, Kill},
        *,
    };

    const ONE: Entry = Effect { event: 0, process: 1 };
    const TWO: Entry = Effect { event: 0, process: 2 };
    const DEATH: Entry = Kill { process: 1 };
    const ANSWER: Entry = Answer { event: 0, process: 2 };

    fn faults(entries: &[Entry]) -> usize {
        judge_claims(1, entries).faults.len()
    }

    #[test]
    fn an_entry_can_be_read_again() {
        for entry in [ONE, DEATH, ANSWER] {
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
    }

    #[test]
    fn a_double_is_excused_by_a_death_before_it_and_no_answer() {
        assert_eq!(faults(&[ONE, ANSWER, DEATH]), 0);
        assert_eq!(faults(&[ONE, DEATH, TWO, ANSWER]), 0);
        assert_eq!(faults(&[ONE, TWO, ANSWER]), 1);
        assert_eq!(faults(&[ONE, TWO, ANSWER, DEATH]), 1);
        assert_eq!(faults(&[ONE, ANSWER, DEATH, TWO]), 1);
        assert_eq!(judge_claims(1, &[ONE, DEATH, TWO, ANSWER]).doubles, 1);
        assert_eq!(judge_claims(1, &[ONE, DEATH, TWO, ANSWER]).cut_off, 1);
    }

    #[test]
    fn the_inbox_has_no_excuse() {
        assert_eq!(judge_inbox(1, &[ONE, DEATH, ANSWER]).faults.len(), 0);
        assert_eq!(judge_inbox(1, &[ONE, DEATH, TWO, ANSWER]).faults.len(), 1);
    }

    #[test]
    fn an_event_without_effect_is_lost() {
        assert_eq!(judge_claims(2, &[ONE]).faults, ["event 1 never took effect"]);
        assert_eq!(judge_inbox(2, &[ONE]).faults, ["event 1 never took effect"]);
    }
}
