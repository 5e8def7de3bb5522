//! The measured figures, as tables or as JSON.

use std::{fmt, fs, io, path::Path};

use serde::{Serialize, Serializer};

use crate::{machine::Machine, number::three_digits, plot::Plot, rounds::Spread};

/// Prints suites as they are measured.
pub(crate) struct Report {
    json: bool,
    machine: Machine,
    /// The run in the form of `BENCHMARKS.md`.
    run: String,
    plots: Vec<(&'static str, String)>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        let machine = Machine::describe();
        let mut report = Self { json, machine, run: String::new(), plots: Vec::new() };
        report.say(&format!("{}\n", report.machine));
        report
    }

    /// Prints a suite's rows.
    pub(crate) fn suite(&mut self, suite: &str, rows: &[Row]) {
        self.say(&format!("### {suite}\n\n{}\n", table(rows)));
        if self.json {
            for row in rows {
                self.json(suite, row);
            }
        }
    }

    /// Keeps a plot for [`write`](Self::write).
    pub(crate) fn plot(&mut self, name: &'static str, plot: &Plot) {
        self.run += &format!("![{}]({PLOTS}/{name}.svg)\n", plot.title);
        self.plots.push((name, plot.to_svg()));
    }

    /// Replaces the run in `BENCHMARKS.md`, and writes its plots.
    pub(crate) fn write(&self) -> io::Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (name, svg) in &self.plots {
            fs::write(root.join(PLOTS).join(name).with_extension("svg"), svg)?;
        }
        let page = root.join("BENCHMARKS.md");
        let replaced = replace_run(&fs::read_to_string(&page)?, &self.run);
        let missing = || io::Error::other("BENCHMARKS.md has no markers for the run");
        fs::write(page, replaced.ok_or_else(missing)?)
    }

    fn say(&mut self, text: &str) {
        self.run += text;
        self.run.push('\n');
        if !self.json {
            println!("{text}");
        }
    }

    fn json(&self, suite: &str, row: &Row) {
        let line = Line { suite, row, met: row.met(), machine: &self.machine };
        match serde_json::to_string(&line) {
            Ok(line) => println!("{line}"),
            Err(error) => eprintln!("{error}"),
        }
    }
}

/// Reports that a part of the run is skipped.
pub(crate) fn skipped(what: &str, why: &dyn fmt::Display) {
    eprintln!("SKIPPED: {what}: {why}");
}

const PLOTS: &str = "bondify-bench/plots";

/// The markers around the run in `BENCHMARKS.md`.
const BEGIN: &str = "<!-- The run: written by `bondify-bench`. -->\n";
const END: &str = "<!-- The end of the run. -->\n";

fn replace_run(page: &str, run: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{run}\n{END}{after}"))
}

#[derive(Serialize)]
struct Line<'a> {
    suite: &'a str,
    #[serde(flatten)]
    row: &'a Row,
    met: Option<bool>,
    machine: &'a Machine,
}

/// One figure, and its goal.
#[derive(Clone, Serialize)]
pub(crate) struct Row {
    measure: String,
    goal: Option<Goal>,
    unit: Unit,
    #[serde(flatten)]
    figure: Spread,
    /// The parts of the ratio.
    detail: String,
}

impl Row {
    pub(crate) fn new(measure: impl Into<String>, unit: Unit, figure: Spread) -> Self {
        Self { measure: measure.into(), goal: None, unit, figure, detail: String::new() }
    }

    /// The ratio of `of` to `by`, both given round by round.
    pub(crate) fn ratio(measure: impl Into<String>, of: &[f64], by: &[f64]) -> Self {
        Self::new(measure, Unit::Ratio, Spread::ratio(of, by))
    }

    pub(crate) fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtMost(goal));
        self
    }

    pub(crate) fn at_least(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtLeast(goal));
        self
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    fn met(&self) -> Option<bool> {
        self.goal.map(|goal| goal.is_met_by(self.figure.median))
    }

    fn cells(&self) -> [String; 5] {
        let Spread { median, low, high } = self.figure;
        let goal = self.goal.map(|goal| goal.to_string()).unwrap_or_default();
        let missed = if self.met() == Some(false) { " (missed)" } else { "" };
        let spread = if low == high { String::new() } else { format!("{low:.3} to {high:.3}") };
        let unit = self.unit;
        [
            self.measure.clone(),
            goal,
            format!("{}{unit}{missed}", three_digits(median)),
            spread,
            self.detail.clone(),
        ]
    }
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Ratio,
    Allocations,
    Bytes,
    Millis,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ratio | Self::Allocations => "",
            Self::Bytes => " B",
            Self::Millis => " ms",
        })
    }
}

/// The goal for a median.
#[derive(Clone, Copy)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

impl Serialize for Goal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A Markdown table with aligned columns.
fn table(rows: &[Row]) -> String {
    let head = ["measure", "goal", "median", "middle half", "made of"].map(str::to_owned);
    let cells: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let mut lines: Vec<String> = cells.iter().map(|row| line(row, &widths)).collect();
    lines.insert(1, line(&widths.map(|width| "-".repeat(width)), &widths));
    lines.join("\n")
}

fn line(cells: &[String; 5], widths: &[usize; 5]) -> String {
    let padded: Vec<_> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    format!("| {} |", padded.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_by_an_equal_figure() {
        let met = |row: Row| row.met();
        let row = || Row::new("x", Unit::Ratio, Spread::exactly(2.0));
        assert_eq!(met(row().at_most(2.0)), Some(true));
        assert_eq!(met(row().at_most(1.9)), Some(false));
        assert_eq!(met(row().at_least(2.0)), Some(true));
        assert_eq!(met(row().at_least(2.1)), Some(false));
        assert_eq!(met(row()), None);
    }

    #[test]
    fn a_run_replaces_the_one_before() {
        let page = |run: &str| format!("before\n{BEGIN}\n{run}\n{END}after\n");
        assert_eq!(replace_run(&page("old"), "new"), Some(page("new")));
        assert_eq!(replace_run("nothing", "new"), None);
    }

    #[test]
    fn a_table_is_aligned_markdown() {
        let spread = Spread { median: 1.5, low: 1.25, high: 2.0 };
        let row = Row::new("check", Unit::Ratio, spread).at_most(1.45).detail("3 ns / 2 ns");
        assert_eq!(
            table(&[row]),
            "| measure | goal   | median        | middle half    | made of     |\n\
             | ------- | ------ | ------------- | -------------- | ----------- |\n\
             | check   | ≤ 1.45 | 1.50 (missed) | 1.250 to 2.000 | 3 ns / 2 ns |"
        );
    }
}
