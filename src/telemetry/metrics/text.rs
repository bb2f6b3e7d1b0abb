//! The text formats of a scrape: OpenMetrics 1.0, and the classic one of Prometheus (0.0.4), which has
//! no exemplars and names a counter as its samples.

use super::exemplars::Exemplars;
use super::family::{Descriptor, Distribution, FamilyKind, Label, MetricEncoder};
use std::fmt::Write;

/// Writes a scrape as text.
#[derive(Debug, Default)]
pub struct TextEncoder {
    out: String,
    openmetrics: bool,
    /// The name of the family, and whether it is a counter.
    name: &'static str,
    counter: bool,
    /// The bounds of the family's histograms as they are written.
    bounds: Vec<String>,
    /// The labels of the latest point as they are written, without braces.
    labels: String,
}

impl TextEncoder {
    /// Makes an encoder of OpenMetrics.
    pub fn openmetrics() -> Self {
        Self {
            openmetrics: true,
            ..Self::default()
        }
    }

    /// Makes an encoder of the classic format.
    pub fn classic() -> Self {
        Self::default()
    }

    /// Returns the text of what it was given.
    pub fn finish(mut self) -> String {
        if self.openmetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn set_labels(&mut self, labels: &[Label<'_>]) {
        self.labels.clear();
        for (name, value) in labels {
            if !self.labels.is_empty() {
                self.labels.push(',');
            }
            self.labels.push_str(name);
            self.labels.push_str("=\"");
            push_escaped(&mut self.labels, value);
            self.labels.push('"');
        }
    }

    /// Begins a sample that has the labels of the point: all up to its value.
    fn begin(&mut self, suffix: &str) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        if !self.labels.is_empty() {
            self.out.push('{');
            self.out.push_str(&self.labels);
            self.out.push('}');
        }
        self.out.push(' ');
    }
}

impl MetricEncoder for TextEncoder {
    fn family(&mut self, family: &Descriptor) {
        self.name = family.name;
        self.counter = family.kind == FamilyKind::Counter;
        self.bounds.clear();
        let name = match self.openmetrics {
            true => family.name.strip_suffix("_total").unwrap_or(family.name),
            false => family.name,
        };
        let kind = match family.kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge | FamilyKind::UpDown => "gauge",
            FamilyKind::Histogram => "histogram",
        };
        let help = family.help;
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn number(&mut self, labels: &[Label<'_>], value: f64) {
        self.set_labels(labels);
        self.begin("");
        let whole = value.fract() == 0.0;
        match self.counter && whole {
            true => push_count(&mut self.out, value as u64),
            false => push_float(&mut self.out, value),
        }
        self.out.push('\n');
    }

    fn histogram(&mut self, labels: &[Label<'_>], value: &Distribution<'_>) {
        self.set_labels(labels);
        self.begin("_sum");
        push_float(&mut self.out, value.sum());
        self.out.push('\n');
        self.begin("_count");
        push_count(&mut self.out, value.count());
        self.out.push('\n');
        if self.bounds.is_empty() {
            self.bounds.extend(value.bounds.iter().map(|bound| {
                let mut text = String::new();
                push_float(&mut text, *bound);
                text
            }));
            self.bounds.push("+Inf".to_owned());
        }
        let shown = match self.openmetrics {
            true => value.exemplars,
            false => &[],
        };
        let mut exemplars = Exemplars::latest(shown).into_iter();
        let mut cumulative = 0;
        for (bound, count) in self.bounds.iter().zip(value.counts) {
            cumulative += count;
            self.out.push_str(self.name);
            self.out.push_str("_bucket{le=\"");
            self.out.push_str(bound);
            self.out.push('"');
            if !self.labels.is_empty() {
                self.out.push(',');
                self.out.push_str(&self.labels);
            }
            self.out.push_str("} ");
            push_count(&mut self.out, cumulative);
            if let Some(exemplar) = exemplars.next().flatten() {
                exemplar.write(&mut self.out);
            }
            self.out.push('\n');
        }
    }
}

fn push_escaped(out: &mut String, value: &str) {
    if !value.contains(['\\', '"', '\n']) {
        return out.push_str(value);
    }
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    out.push_str(&value.replace('\n', "\\n"));
}

fn push_count(out: &mut String, count: u64) {
    out.push_str(itoa::Buffer::new().format(count));
}

/// Writes a whole number with `.0`, as OpenMetrics has bounds.
fn push_float(out: &mut String, value: f64) {
    let _ = write!(out, "{value}");
    if value.fract() == 0.0 {
        out.push_str(".0");
    }
}
