//! What is told: a line a measurement as it comes, a table at the end, JSON lines for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::Engine;
use crate::disk::Flush;
use crate::load::Outcome;

/// Median and bounds of some rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figure {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
        } else {
            at(middle)
        };
        Self { median, least: at(0), most: at(values.len().wrapping_sub(1)) }
    }

    /// Round by round.
    pub(crate) fn ratio(these: &[f64], those: &[f64]) -> Self {
        let mut ratio = Self::of(these.iter().zip(those).map(|(this, that)| this / that));
        ratio.median = Self::of(these.iter().copied()).median / Self::of(those.iter().copied()).median;
        ratio
    }

    fn json(self) -> Value {
        json!({ "median": self.median, "min": self.least, "max": self.most })
    }
}

/// All rounds of one contender.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Outcome>,
}

impl Series {
    pub(crate) fn per_second(&self) -> Vec<f64> {
        self.rounds.iter().map(Outcome::per_second).collect()
    }

    pub(crate) fn p99_millis(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.latency_millis(0.99)).collect()
    }

    fn figure(&self, of: impl Fn(&Outcome) -> f64) -> Figure {
        Figure::of(self.rounds.iter().map(of))
    }
}

/// Collects what was measured.
pub(crate) struct Report {
    json: bool,
    table: Vec<[String; 6]>,
    disturbed: bool,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, table: Vec::new(), disturbed: false }
    }

    /// Something for a person to read.
    pub(crate) fn say(&self, line: &str) {
        if self.json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }

    fn emit(&self, value: &Value) {
        if self.json {
            println!("{value}");
        }
    }

    /// A round during which a compiler ran.
    pub(crate) fn disturbed(&mut self) {
        self.disturbed = true;
    }

    pub(crate) fn machine(&self, machine: &str) {
        self.say(machine);
        self.emit(&json!({ "machine": machine }));
    }

    pub(crate) fn flush(&self, when: &str, flush: Flush) {
        let Flush { per_second, p50_micros, p99_micros } = flush;
        self.say(&format!(
            "fdatasync {when}: {per_second:.0}/s, p50 {p50_micros} µs, p99 {p99_micros} µs (332 B appended before each)"
        ));
        self.emit(&json!({ "fdatasync": when, "per_second": per_second, "p50_us": p50_micros, "p99_us": p99_micros }));
    }

    /// Tells the rounds of a contender.
    pub(crate) fn series(&self, case: &str, engine: Engine, series: &Series) {
        let rate = series.figure(Outcome::per_second);
        let (p50, p99) =
            (series.figure(|round| round.latency_millis(0.5)), series.figure(|round| round.latency_millis(0.99)));
        let (cpu, own) = (series.figure(Outcome::cpu_micros), series.figure(Outcome::own_share));
        let database = series.figure(Outcome::database_micros);
        let failures: u64 = series.rounds.iter().map(|round| round.failures).sum();
        let mut line = format!(
            "  {:<28} {:>9.0}/s [{:.0}..{:.0}]  p50 {:.2} ms  p99 {:.2} ms  CPU {:.1} µs a call  generator {:.0} % of a core",
            series.name,
            rate.median,
            rate.least,
            rate.most,
            p50.median,
            p99.median,
            cpu.median,
            own.median * 100.0
        );
        if database.most > 0.0 {
            let _ = write!(line, "  PostgreSQL {:.1} µs a call", database.median);
        }
        if failures > 0 {
            let first = series.rounds.iter().find_map(|round| round.first_failure.as_deref()).unwrap_or_default();
            let _ = write!(line, "\n    {failures} FAILURES, the first: {first}");
        }
        self.say(&line);
        self.emit(&json!({
            "case": case, "engine": engine.name(), "contender": series.name, "per_second": rate.json(), "rounds": series.per_second(),
            "p50_ms": p50.json(), "p99_ms": p99.json(), "cpu_us": cpu.json(), "database_cpu_us": database.json(), "generator_cores": own.json(), "failures": failures,
            "disturbed": self.disturbed,
        }));
    }

    /// A row of the table: a ratio of two contenders with its target.
    pub(crate) fn ratio(
        &mut self,
        case: &str,
        engine: Engine,
        these: (&str, &[f64]),
        those: (&str, &[f64]),
        target: &str,
    ) {
        let ratio = Figure::ratio(these.1, those.1);
        let (this, that) = (Figure::of(these.1.iter().copied()).median, Figure::of(those.1.iter().copied()).median);
        self.emit(&json!({
            "case": case, "engine": engine.name(), "ratio_of": these.0, "to": those.0, "ratio": ratio.json(), "target": target,
            "disturbed": self.disturbed,
        }));
        self.row([
            case.to_owned(),
            engine.name().to_owned(),
            format!("{} {this:.0}", these.0),
            format!("{} {that:.0}", those.0),
            format!("{:.2} [{:.2}..{:.2}]", ratio.median, ratio.least, ratio.most),
            target.to_owned(),
        ]);
    }

    /// A row of the table: a figure of its own with its target.
    pub(crate) fn figure(&mut self, case: &str, engine: Engine, figure: Figure, unit: &str, target: &str) {
        self.emit(&json!({
            "case": case, "engine": engine.name(), "figure": figure.json(), "unit": unit, "target": target, "disturbed": self.disturbed,
        }));
        let Figure { median, least, most } = figure;
        let digits = if median < 10.0 { 2 } else { 0 };
        let value = format!("{median:.digits$} {unit} [{least:.digits$}..{most:.digits$}]");
        self.row([case.to_owned(), engine.name().to_owned(), value, String::new(), String::new(), target.to_owned()]);
    }

    fn row(&mut self, row: [String; 6]) {
        self.say(&format!(
            "  → {}",
            row.iter().filter(|cell| !cell.is_empty()).cloned().collect::<Vec<_>>().join("  ")
        ));
        self.table.push(row);
    }

    /// Prints the table.
    pub(crate) fn finish(&self) {
        let head =
            ["what", "engine", "Coffre, median", "beside, median", "ratio [min..max]", "target"].map(str::to_owned);
        let rows: Vec<&[String; 6]> = std::iter::once(&head).chain(&self.table).collect();
        let mut widths = [0_usize; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row.iter()) {
                *width = (*width).max(cell.chars().count());
            }
        }
        self.say("");
        for row in rows {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            self.say(cells.join("  ").trim_end());
        }
        if self.disturbed {
            self.say("\nA compiler ran during some of these rounds: the figures are worth little.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Figure::of([3.0, 1.0, 2.0]), Figure { median: 2.0, least: 1.0, most: 3.0 });
        assert!((Figure::of([4.0, 1.0, 2.0, 3.0]).median - 2.5).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_is_of_medians_with_the_bounds_of_its_rounds() {
        let ratio = Figure::ratio(&[10.0, 30.0, 20.0], &[100.0, 100.0, 50.0]);
        assert_eq!(ratio, Figure { median: 0.2, least: 0.1, most: 0.4 });
    }
}
