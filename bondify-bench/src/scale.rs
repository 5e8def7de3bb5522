//! The growth of figures with the number of keys, of running handlers, and with the share of
//! duplicates.

mod pipeline;

use bondify_core::MemoryStore;

use self::pipeline::Pipeline;
use crate::{
    memory::{Moka, heap_per_key, one_thread, time_per_key},
    plot::{Line, Plot},
    report::{Report, Row, Unit},
    rounds::{Plan, Spread, Variant, interleave, median},
    verify::nanoseconds,
};

pub(crate) fn measure(plan: &Plan, report: &mut Report) {
    let keys = plan.choose(&[10_000, 100_000, 1_000_000, 10_000_000][..], &[1_000, 10_000]);
    let (claims, claims_plot) = claims(plan, keys);
    let (memory, memory_plot) = memory(keys);
    let (handlers, handlers_plot) = in_flight(plan);
    let (duplicates, duplicates_plot) = duplicates(plan);
    report.suite("scale", &[claims, memory, handlers, duplicates].concat());
    report.plot("claims", &claims_plot);
    report.plot("memory", &memory_plot);
    report.plot("in-flight", &handlers_plot);
    report.plot("duplicates", &duplicates_plot);
}

fn claims(plan: &Plan, sizes: &[u64]) -> (Vec<Row>, Plot) {
    let samples = sizes.iter().map(|&live| {
        let (rounds, batch) = (plan.choose(12, 2), plan.choose(10_000, 100));
        let capacity = live + (rounds as u64 + 1) * batch;
        interleave(
            rounds,
            &mut [
                time_per_key::<Moka>(live, capacity, batch, one_thread),
                time_per_key::<MemoryStore>(live, capacity, batch, one_thread),
            ],
        )
    });
    let samples: Vec<_> = samples.collect();
    let row = |(live, samples): (&u64, &Vec<Vec<f64>>)| {
        let measure = format!("moka / ours: claim and complete at {live} keys");
        Row::ratio(measure, &samples[0], &samples[1]).detail(nanoseconds(samples))
    };
    let rows = sizes.iter().zip(&samples).map(row).collect();
    let line = |name, variant: usize| Line {
        name,
        values: samples.iter().map(|samples| median(&samples[variant])).collect(),
    };
    let plot = Plot {
        title: "Nanoseconds to claim and complete a key, by live keys".to_owned(),
        steps: sizes.iter().map(u64::to_string).collect(),
        lines: vec![line("ours", 1), line("moka", 0)],
    };
    (rows, plot)
}

fn memory(sizes: &[u64]) -> (Vec<Row>, Plot) {
    let ours: Vec<_> = sizes.iter().map(|&live| heap_per_key::<MemoryStore>(live)).collect();
    let moka: Vec<_> = sizes.iter().map(|&live| heap_per_key::<Moka>(live)).collect();
    let row = |((live, &ours), moka): ((&u64, &f64), &f64)| {
        let measure = format!("heap per live key at {live} keys");
        Row::new(measure, Unit::Bytes, Spread::exactly(ours)).detail(format!("moka: {moka:.0} B"))
    };
    let rows = sizes.iter().zip(&ours).zip(&moka).map(row).collect();
    let plot = Plot {
        title: "Bytes of heap per key, by live keys".to_owned(),
        steps: sizes.iter().map(u64::to_string).collect(),
        lines: vec![Line { name: "ours", values: ours }, Line { name: "moka", values: moka }],
    };
    (rows, plot)
}

fn in_flight(plan: &Plan) -> (Vec<Row>, Plot) {
    let running = plan.choose(&[0, 1, 10, 100, 1000, 10_000][..], &[0, 100]);
    let name = |running: &usize| format!("a delivery beside {running} running handlers / 0");
    let title = "Microseconds for a delivery, by running handlers";
    curve(plan, running, name, title, |running| {
        let pipeline = Pipeline::new();
        pipeline.occupy(running);
        (pipeline, 0.0)
    })
}

fn duplicates(plan: &Plan) -> (Vec<Row>, Plot) {
    let shares = plan.choose(&[0, 20, 40, 60, 80, 99][..], &[0, 50]);
    let name = |share: &usize| format!("a delivery, {share} % being duplicates / 0 %");
    let title = "Microseconds for a delivery, by % of duplicates";
    curve(plan, shares, name, title, |share| (Pipeline::new(), share as f64 / 100.0))
}

/// Deliveries at each step, compared with the first.
fn curve(
    plan: &Plan,
    steps: &[usize],
    name: impl Fn(&usize) -> String,
    title: &str,
    set_up: impl Fn(usize) -> (Pipeline, f64),
) -> (Vec<Row>, Plot) {
    let batch = plan.choose(5000, 200);
    let turn = |&step: &usize| -> Variant<'_, f64> {
        let (mut pipeline, duplicates) = set_up(step);
        Box::new(move || pipeline.deliver(batch, duplicates))
    };
    let mut variants: Vec<_> = steps.iter().map(turn).collect();
    let samples = interleave(plan.choose(20, 2), &mut variants);
    let row = |(step, of): (&usize, &Vec<f64>)| {
        let micros = |samples| median(samples) / 1e3;
        let detail = format!("{:.2} µs / {:.2} µs", micros(of), micros(&samples[0]));
        Row::ratio(name(step), of, &samples[0]).detail(detail)
    };
    let rows = steps.iter().zip(&samples).skip(1).map(row).collect();
    let values = samples.iter().map(|of| median(of) / 1e3).collect();
    let plot = Plot {
        title: title.to_owned(),
        steps: steps.iter().map(usize::to_string).collect(),
        lines: vec![Line { name: "in process, without a server", values }],
    };
    (rows, plot)
}
