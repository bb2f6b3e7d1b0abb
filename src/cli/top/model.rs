//! What `top` knows and what its keys do; nothing here draws.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;

/// Seconds in a row's little chart.
pub const CHART: usize = 24;
/// Events of the configuration that are remembered.
const EVENTS: usize = 4;

/// Everything that is shown.
#[derive(Debug, Default)]
pub struct Model {
    pub frame: Frame,
    pub link: Link,
    pub sort: Sort,
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    pub paused: bool,
    pub help: bool,
    /// The chosen row is shown in full.
    pub detail: bool,
    pub chosen: usize,
    pub events: VecDeque<String>,
    /// `#rrggbb` by color.
    pub hues: HashMap<String, String>,
    charts: HashMap<String, VecDeque<f64>>,
}

/// The stream's state.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Link {
    #[default]
    Waiting,
    Up,
    Down(String),
}

/// An event of a rollout in words.
fn rollout(event: &Value) -> String {
    let field = |name: &str| event[name].as_str().unwrap_or("-");
    format!(
        "rollout {} {}: {} to {}, {}",
        field("color"),
        field("what"),
        field("from"),
        field("to"),
        field("reason"),
    )
}

/// A frame of the stream, as far as it is shown.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Frame {
    pub generation: u64,
    pub draining: bool,
    pub window_s: u64,
    pub active: i64,
    pub connections: i64,
    pub total: Measured,
    pub overhead: Overhead,
    pub rows: Vec<Row>,
    pub rows_left_off: usize,
    pub refusals: BTreeMap<String, f64>,
    pub breakers: Vec<Breaker>,
    pub events: Vec<Value>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Overhead {
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Measured {
    pub rps: f64,
    pub errors: f64,
    pub refused: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub window: Reading,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Reading {
    pub rps: f64,
    pub errors: f64,
    pub refused: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Row {
    pub route: String,
    pub service: String,
    pub version: String,
    pub color: String,
    #[serde(flatten)]
    pub measured: Measured,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Breaker {
    pub service: String,
    pub version: String,
    pub state: String,
    pub held: bool,
    pub retry_in_ms: Option<u64>,
}

/// What rows are ordered by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Rate,
    Errors,
    P99,
    Name,
}

impl Sort {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Errors => "errors",
            Self::P99 => "p99",
            Self::Name => "name",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Errors,
            Self::Errors => Self::P99,
            Self::P99 => Self::Name,
            Self::Name => Self::Rate,
        }
    }
}

impl Row {
    pub fn name(&self) -> String {
        let route = if self.route.is_empty() {
            "(no route)"
        } else {
            &self.route
        };
        format!("{route} {} {} {}", self.service, self.version, self.color)
    }
}

impl Model {
    pub fn new(colors: &Value) -> Self {
        let colors = colors["colors"].as_array().into_iter().flatten();
        let hue = |color: &Value| {
            Some((
                color["name"].as_str()?.to_owned(),
                color["hex"].as_str()?.to_owned(),
            ))
        };
        Self {
            hues: colors.filter_map(hue).collect(),
            ..Self::default()
        }
    }

    /// Takes a frame of the stream.
    pub fn take(&mut self, frame: &Value) {
        self.link = Link::Up;
        if self.paused {
            return;
        }
        let Ok(frame) = Frame::deserialize(frame) else {
            return;
        };
        for event in &frame.events {
            let generation = &event["generation"];
            let told = match event["kind"].as_str() {
                Some("applied") => format!(
                    "generation {generation} live, changes: {}",
                    event["changes"]
                ),
                Some("rollout") => rollout(event),
                Some(kind) => format!("configuration {kind}; generation {generation} goes on"),
                None => continue,
            };
            self.events.push_front(told);
            self.events.truncate(EVENTS);
        }
        let mut charts = HashMap::new();
        for row in &frame.rows {
            let name = row.name();
            let mut chart = self.charts.remove(&name).unwrap_or_default();
            chart.push_back(row.measured.rps);
            if chart.len() > CHART {
                chart.pop_front();
            }
            charts.insert(name, chart);
        }
        self.charts = charts;
        self.frame = frame;
        self.chosen = self.chosen.min(self.rows().len().saturating_sub(1));
    }

    /// Rows that match, in order.
    pub fn rows(&self) -> Vec<&Row> {
        let wanted = self.filter.to_lowercase();
        let rows = self.frame.rows.iter();
        let mut rows: Vec<&Row> = rows
            .filter(|row| row.name().to_lowercase().contains(&wanted))
            .collect();
        let by = |row: &Row| match self.sort {
            Sort::Rate => row.measured.window.rps,
            Sort::Errors => row.measured.window.errors,
            Sort::P99 => row.measured.window.p99_ms.unwrap_or(0.0),
            Sort::Name => 0.0,
        };
        rows.sort_by(|a, b| {
            by(b)
                .total_cmp(&by(a))
                .then_with(|| a.name().cmp(&b.name()))
        });
        rows
    }

    /// The last seconds of a row.
    pub fn chart(&self, row: &Row) -> Vec<f64> {
        let chart = self.charts.get(&row.name());
        chart
            .map(|chart| chart.iter().copied().collect())
            .unwrap_or_default()
    }

    /// Obeys a key; breaks when it says so.
    pub fn press(&mut self, key: KeyEvent) -> ControlFlow<()> {
        let ends = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
        if ends {
            return ControlFlow::Break(());
        }
        if self.typing {
            match key.code {
                KeyCode::Enter => self.typing = false,
                KeyCode::Esc => {
                    self.typing = false;
                    self.filter.clear();
                }
                KeyCode::Backspace => drop(self.filter.pop()),
                KeyCode::Char(letter) => self.filter.push(letter),
                _ => {}
            }
            self.chosen = 0;
            return ControlFlow::Continue(());
        }
        let last = self.rows().len().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') => return ControlFlow::Break(()),
            KeyCode::Esc if self.detail || self.help => {
                self.detail = false;
                self.help = false;
            }
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Down | KeyCode::Char('j') => self.chosen = (self.chosen + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Home => self.chosen = 0,
            KeyCode::End => self.chosen = last,
            KeyCode::Enter => self.detail = !self.detail,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('?') => self.help = !self.help,
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
