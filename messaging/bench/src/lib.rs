//! Measures what the messaging parts cost, against the raw operations they are made of: how runs are interleaved, summed up
//! and told. The rows themselves are in the program.
//!
//! Each run measures product and baseline one after the other, in turns which is first, and gives one ratio. A row is the
//! median of those ratios, with their quartiles as its spread: what else the machine does hits both sides of a pair alike.
//! What one thread computes is measured in its processor time, what waits for disk or network in time.

use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

/// What a row's ratio should be.
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
        format!("{:<58} {median:>8.3} [{low:.3} .. {high:.3}] {aim:>8} {verdict:<6} {}", self.name, self.detail)
    }
}

/// Where rows go as they are done.
#[derive(Debug)]
pub struct Report {
    json: bool,
    only: Option<String>,
    runs: usize,
    missed: usize,
}

impl Report {
    /// Rows as JSON lines or as a table; `only` those whose name contains a text; this many runs a row.
    pub const fn new(json: bool, only: Option<String>, runs: usize) -> Self {
        Self { json, only, runs, missed: 0 }
    }

    /// Runs of each row.
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// Whether a row, or one of a group whose names all contain `name`, is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| name.contains(only))
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
        let mut out = io::stdout().lock();
        if self.json { writeln!(out, "{}", row.to_json()) } else { writeln!(out, "{}", row.to_text()) }?;
        out.flush()
    }

    /// Measures a row: seconds an operation of `product` and of `baseline`, in turns; the ratio is how many times as fast as
    /// the baseline the product is.
    ///
    /// # Errors
    /// Those of the measured, and of [`Self::tell`].
    pub fn compare<E: From<io::Error>>(
        &mut self,
        name: &str,
        aim: Aim,
        mut product: impl FnMut() -> Result<f64, E>,
        mut baseline: impl FnMut() -> Result<f64, E>,
    ) -> Result<(), E> {
        if !self.wants(name) {
            return Ok(());
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for run in 0..self.runs {
            if run % 2 == 0 {
                ours.push(product()?);
                theirs.push(baseline()?);
            } else {
                theirs.push(baseline()?);
                ours.push(product()?);
            }
        }
        let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| theirs / ours).collect();
        let detail = format!("{} against {}", duration(quartiles(&ours).median), duration(quartiles(&theirs).median));
        Ok(self.tell(&Row { name: name.to_owned(), aim, ratios, detail })?)
    }
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

    #[test]
    fn quartiles_are_those_of_the_numbers() {
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0, 5.0]), Quartiles { low: 2.0, median: 3.0, high: 4.0 });
        assert_eq!(quartiles(&[1.0, 2.0]), Quartiles { low: 1.25, median: 1.5, high: 1.75 });
        assert_eq!(quartiles(&[7.0]), Quartiles { low: 7.0, median: 7.0, high: 7.0 });
        assert!(quartiles(&[]).median.is_nan());
    }

    #[test]
    fn runs_are_interleaved_and_first_in_turns() {
        let order = RefCell::new(String::new());
        let mut report = Report::new(true, None, 3);
        let call = |name: char, seconds: f64| {
            order.borrow_mut().push(name);
            Ok::<_, io::Error>(seconds)
        };
        report.compare("twice as fast", Aim::AtLeast(2.0), || call('p', 1.0), || call('b', 2.0)).unwrap();
        assert_eq!((order.borrow().as_str(), report.missed()), ("pbbppb", 0));
        report.compare("half as fast", Aim::AtLeast(0.9), || call('p', 2.0), || call('b', 1.0)).unwrap();
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
        let mut report = Report::new(false, Some("hop".into()), 1);
        assert!(report.wants("onion hop") && !report.wants("store"));
        let never = || -> Result<f64, io::Error> { panic!("not wanted") };
        report.compare("store", Aim::None, never, never).unwrap();
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
