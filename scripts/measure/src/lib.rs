//! Compares two ways of doing the same, in one run: how runs are interleaved, summed up and told. The rows themselves are in
//! the benches.
//!
//! What a machine does beside a bench changes from minute to minute, so absolute times say little. Here product and baseline
//! take turns, in turns which is first, each turn gives one ratio, and a row is the median of those ratios with the middle
//! half as its spread: whatever else happens hits both sides of a pair alike. What one thread computes is best measured in
//! its processor time ([`per_call`]), what waits for disk or network in time ([`time`]).
//!
//! ```no_run
//! use skep_measure::{Aim, Report, time};
//! # fn main() -> std::io::Result<()> {
//! let mut report = Report::from_arguments();
//! let product = || Ok(time(|| (0..1_000_u64).sum::<u64>()));
//! report.speed("sum of a thousand", Aim::AtLeast(0.9), product, || Ok(time(|| 499_500_u64)))
//! # }
//! ```

use clap::{Args, Parser};
use serde_json::{Value, json};
use std::{
    fs,
    hint::black_box,
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

/// What a row's number should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// No less: how many times as fast as the baseline.
    AtLeast(f64),
    /// No more: how many times as long, or as much, as the baseline.
    AtMost(f64),
    /// It is only told.
    None,
}

impl Aim {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
            Self::None => true,
        }
    }

    fn number(self) -> Value {
        match self {
            Self::AtLeast(aim) | Self::AtMost(aim) => aim.into(),
            Self::None => Value::Null,
        }
    }
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured, and against what.
    pub name: String,
    /// What is aimed at.
    pub aim: Aim,
    /// One ratio a run.
    pub ratios: Vec<f64>,
    /// The medians behind the ratio, in words.
    pub detail: String,
}

impl Row {
    /// The row as one line of JSON.
    pub fn to_json(&self) -> Value {
        let Quartiles { low, median, high } = quartiles(&self.ratios);
        json!({
            "row": self.name,
            "ratio": rounded(median),
            "aim": self.aim.number(),
            "holds": self.aim.holds(median),
            "runs": self.ratios.len(),
            "spread": [rounded(low), rounded(high)],
            "detail": self.detail,
        })
    }

    fn to_text(&self) -> String {
        let Quartiles { low, median, high } = quartiles(&self.ratios);
        let aim = match self.aim {
            Aim::AtLeast(aim) => format!(">= {aim}"),
            Aim::AtMost(aim) => format!("<= {aim}"),
            Aim::None => "-".to_owned(),
        };
        let verdict = match (self.aim, self.aim.holds(median)) {
            (Aim::None, _) => "",
            (Aim::AtLeast(_) | Aim::AtMost(_), true) => "holds",
            (Aim::AtLeast(_) | Aim::AtMost(_), false) => "MISSED",
        };
        format!("{:<64} {median:>8.3} [{low:.3} .. {high:.3}] {aim:>8} {verdict:<6} {}", self.name, self.detail)
    }
}

/// What any program of rows can be asked.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// A line of JSON a row
    #[arg(long)]
    json: bool,
    /// Only rows whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Runs of each row
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = at_least_one)]
    runs: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a row needs one run at least".to_owned()),
        Ok(runs) => Ok(runs),
        Err(error) => Err(error.to_string()),
    }
}

/// What a bench target is started with: by hand, by cargo, or by a test runner that asks which tests there are.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    format: Option<String>,
}

/// Where rows go as they are done.
#[derive(Debug)]
pub struct Report {
    options: Options,
    missed: usize,
}

impl From<Options> for Report {
    fn from(options: Options) -> Self {
        Self { options, missed: 0 }
    }
}

impl Report {
    /// Reads the program's arguments. A test runner that asks which tests there are (`--list`) is told none: the process
    /// ends, as it does where arguments are wrong.
    pub fn from_arguments() -> Self {
        let arguments = Arguments::parse();
        if arguments.list {
            std::process::exit(0);
        }
        arguments.options.into()
    }

    /// Runs of each row.
    pub const fn runs(&self) -> usize {
        self.options.runs
    }

    /// Whether a row, or one of a group whose names all contain `name`, is wanted; ask before a costly preparation.
    pub fn wants(&self, name: &str) -> bool {
        self.options.only.as_deref().is_none_or(|only| name.contains(only))
    }

    /// How many rows missed their aim so far.
    pub const fn missed(&self) -> usize {
        self.missed
    }

    /// Tells a row.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn tell(&mut self, row: &Row) -> io::Result<()> {
        self.missed += usize::from(!row.aim.holds(quartiles(&row.ratios).median));
        self.line(&row.to_json(), &row.to_text())
    }

    /// Tells a number that is compared with nothing, such as a time: the median of some.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn tell_number(&mut self, name: &str, unit: &str, numbers: &[f64]) -> io::Result<()> {
        let Quartiles { low, median, high } = quartiles(numbers);
        let json = json!({
            "row": name,
            "value": rounded(median),
            "unit": unit,
            "runs": numbers.len(),
            "spread": [rounded(low), rounded(high)],
        });
        self.line(&json, &format!("{name:<64} {median:>8.3} [{low:.3} .. {high:.3}] {unit}"))
    }

    fn line(&self, json: &Value, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.options.json { writeln!(out, "{json}") } else { writeln!(out, "{text}") }?;
        out.flush()
    }

    /// Measures a row: how many times as fast as the baseline the product is. Both tell the seconds that one operation took,
    /// so that preparations do not count.
    ///
    /// # Errors
    /// Those of the measured, and of [`Self::tell`].
    pub fn speed<E: From<io::Error>>(
        &mut self,
        name: &str,
        aim: Aim,
        product: impl FnMut() -> Result<f64, E>,
        baseline: impl FnMut() -> Result<f64, E>,
    ) -> Result<(), E> {
        self.compare(name, aim, product, baseline, |product, baseline| baseline / product)
    }

    /// Measures a row: how many times as long as the baseline the product takes; else as [`Self::speed`].
    ///
    /// # Errors
    /// Those of the measured, and of [`Self::tell`].
    pub fn cost<E: From<io::Error>>(
        &mut self,
        name: &str,
        aim: Aim,
        product: impl FnMut() -> Result<f64, E>,
        baseline: impl FnMut() -> Result<f64, E>,
    ) -> Result<(), E> {
        self.compare(name, aim, product, baseline, |product, baseline| product / baseline)
    }

    fn compare<E: From<io::Error>>(
        &mut self,
        name: &str,
        aim: Aim,
        mut product: impl FnMut() -> Result<f64, E>,
        mut baseline: impl FnMut() -> Result<f64, E>,
        ratio: impl Fn(f64, f64) -> f64,
    ) -> Result<(), E> {
        if !self.wants(name) {
            return Ok(());
        }
        // What the first of each does is to warm caches and connections: it is not counted.
        product()?;
        baseline()?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for run in 0..self.runs() {
            if run % 2 == 0 {
                ours.push(product()?);
                theirs.push(baseline()?);
            } else {
                theirs.push(baseline()?);
                ours.push(product()?);
            }
        }
        let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ratio(*ours, *theirs)).collect();
        let detail = format!("{} against {}", duration(quartiles(&ours).median), duration(quartiles(&theirs).median));
        Ok(self.tell(&Row { name: name.to_owned(), aim, ratios, detail })?)
    }
}

/// Seconds that one call of `work` takes; what it returns is not optimized away.
pub fn time<R>(work: impl FnOnce() -> R) -> f64 {
    let began = Instant::now();
    black_box(work());
    began.elapsed().as_secs_f64()
}

/// Seconds one call takes of this thread's processor time, from as many calls as fit into `about`, at least one.
///
/// # Errors
/// Those of `call`.
pub fn per_call<E>(about: Duration, mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let (begun, watch) = (Instant::now(), Stopwatch::start());
    let mut calls = 0_u32;
    loop {
        call()?;
        calls += 1;
        if begun.elapsed() >= about {
            return Ok(watch.seconds() / f64::from(calls));
        }
    }
}

/// Measures this thread's processor time, so that what else the machine does counts as little as it can. Where the system
/// does not tell, it measures time.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    processor: Option<u64>,
    wall: Instant,
}

impl Stopwatch {
    /// Begins.
    pub fn start() -> Self {
        Self { processor: processor_nanoseconds(), wall: Instant::now() }
    }

    /// Seconds since then.
    pub fn seconds(&self) -> f64 {
        match (self.processor, processor_nanoseconds()) {
            (Some(before), Some(now)) => now.saturating_sub(before) as f64 * 1e-9,
            (None, _) | (_, None) => self.wall.elapsed().as_secs_f64(),
        }
    }
}

/// What this thread has had of processors; Linux tells it in the first number of this file, and brings that up to date when
/// the thread yields.
fn processor_nanoseconds() -> Option<u64> {
    thread::yield_now();
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// The middle half of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    /// A quarter is below.
    pub low: f64,
    /// Half is below.
    pub median: f64,
    /// Three quarters are below.
    pub high: f64,
}

/// Quartiles by linear interpolation; not a number of none.
pub fn quartiles(numbers: &[f64]) -> Quartiles {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let place = part * last as f64;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    Quartiles { low: at(0.25), median: at(0.5), high: at(0.75) }
}

/// A time in a unit people read.
pub fn duration(seconds: f64) -> String {
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 1e-3 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{:.2} us", seconds * 1e6)
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn report(only: Option<&str>, runs: usize) -> Report {
        Options { json: true, only: only.map(str::to_owned), runs }.into()
    }

    #[test]
    fn quartiles_are_those_of_the_numbers() {
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0, 5.0]), Quartiles { low: 2.0, median: 3.0, high: 4.0 });
        assert_eq!(quartiles(&[1.0, 2.0]), Quartiles { low: 1.25, median: 1.5, high: 1.75 });
        assert_eq!(quartiles(&[7.0]), Quartiles { low: 7.0, median: 7.0, high: 7.0 });
        assert!(quartiles(&[]).median.is_nan());
    }

    #[test]
    fn runs_are_warmed_up_interleaved_and_first_in_turns() {
        let order = RefCell::new(String::new());
        let mut report = report(None, 3);
        let call = |name: char, seconds: f64| {
            order.borrow_mut().push(name);
            Ok::<_, io::Error>(seconds)
        };
        report.speed("twice as fast", Aim::AtLeast(2.0), || call('p', 1.0), || call('b', 2.0)).unwrap();
        assert_eq!((order.borrow().as_str(), report.missed()), ("pbpbbppb", 0));
        report.speed("half as fast", Aim::AtLeast(0.9), || call('p', 2.0), || call('b', 1.0)).unwrap();
        assert_eq!(report.missed(), 1);
    }

    #[test]
    fn speed_and_cost_are_each_others_inverse() {
        let mut report = report(None, 2);
        let (fast, slow) = (|| Ok::<_, io::Error>(1.0), || Ok::<_, io::Error>(2.0));
        report.speed("twice as fast", Aim::AtLeast(2.0), fast, slow).unwrap();
        report.cost("half the cost", Aim::AtMost(0.5), fast, slow).unwrap();
        assert_eq!(report.missed(), 0);
        report.cost("twice the cost", Aim::AtMost(1.9), slow, fast).unwrap();
        assert_eq!(report.missed(), 1);
    }

    #[test]
    fn a_row_is_one_line_that_says_whether_it_holds() {
        let row = |aim, ratio| Row { name: "r".into(), aim, ratios: vec![ratio; 4], detail: String::new() }.to_json();
        let line = row(Aim::AtLeast(0.92), 0.95);
        assert_eq!((&line["row"], &line["ratio"], &line["aim"]), (&json!("r"), &json!(0.95), &json!(0.92)));
        assert_eq!((&line["holds"], &line["runs"]), (&json!(true), &json!(4)));
        assert_eq!(row(Aim::AtLeast(0.92), 0.91)["holds"], json!(false));
        assert_eq!(row(Aim::AtMost(1.5), 1.6)["holds"], json!(false));
        assert_eq!((&row(Aim::None, 3.0)["aim"], &row(Aim::None, 3.0)["holds"]), (&json!(null), &json!(true)));
    }

    #[test]
    fn only_what_is_wanted_runs() {
        let mut report = report(Some("hop"), 1);
        assert!(report.wants("onion hop") && !report.wants("store"));
        let never = || -> Result<f64, io::Error> { panic!("not wanted") };
        report.speed("store", Aim::None, never, never).unwrap();
    }

    #[test]
    fn arguments_of_cargo_and_of_test_runners_are_taken() {
        let parsed = Arguments::try_parse_from(["bench", "--bench", "--json", "--only", "hop", "--runs", "3"]).unwrap();
        let report = Report::from(parsed.options);
        assert!(report.wants("onion hop") && !report.wants("store"));
        assert_eq!(report.runs(), 3);
        assert!(Arguments::try_parse_from(["bench", "--list", "--format", "terse", "--ignored"]).unwrap().list);
        assert!(Arguments::try_parse_from(["bench", "--runs", "0"]).is_err());
    }

    #[test]
    fn a_call_is_timed_at_least_once() {
        let mut calls = 0;
        let seconds = per_call(Duration::ZERO, || {
            calls += 1;
            Ok::<_, io::Error>(())
        });
        assert!(seconds.unwrap() >= 0.0);
        assert_eq!(calls, 1);
    }
}
