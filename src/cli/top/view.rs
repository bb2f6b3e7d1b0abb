//! How `top` looks: a line of totals, a table, what needs attention, the keys.

use super::model::{CHART, Link, Model, Row};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as TableRow, Table, TableState};

const HELP: &str = "↑↓ choose   Enter details   / filter   s sort   p pause   ? help   q quit";
/// Narrower than this, the chart and the median make room.
const NARROW: u16 = 96;

/// Draws everything.
pub fn draw(model: &Model, frame: &mut Frame) {
    let notes = notes(model);
    let areas = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(4),
        Constraint::Length(notes.len() as u16),
        Constraint::Length(1),
    ]);
    let [head, table, below, keys] = areas.areas(frame.area());
    frame.render_widget(Paragraph::new(totals(model)), head);
    rows(model, frame, table);
    frame.render_widget(Paragraph::new(notes), below);
    frame.render_widget(Paragraph::new(footer(model)), keys);
    if model.help {
        let text = HELP.split("   ").map(Line::from).collect();
        popup(frame, "Keys", text);
    } else if model.detail
        && let Some(row) = model.rows().get(model.chosen)
    {
        popup(frame, "Details", details(row));
    }
}

fn totals(model: &Model) -> Line<'static> {
    let told = &model.frame;
    let link = match &model.link {
        Link::Up if model.paused => "paused".yellow(),
        Link::Up if told.draining => "draining".yellow(),
        Link::Up => "● live".green(),
        Link::Waiting => "connecting".yellow(),
        Link::Down(_) => "✗ connection lost".red(),
    };
    let total = &told.total;
    let mut errors = Span::raw(share(total.errors, total.rps));
    if total.errors > 0.0 {
        errors = errors.red();
    }
    Line::from(vec![
        "tyrian ".bold().magenta(),
        link,
        Span::raw(format!("  generation {}  ", told.generation)).dim(),
        Span::raw(format!("{}/s", number(total.rps))).bold(),
        "  errors ".dim(),
        errors,
        "  p50 ".dim(),
        Span::raw(ms(total.p50_ms)),
        "  p99 ".dim(),
        Span::raw(ms(total.p99_ms)),
        "  own ".dim(),
        Span::raw(ms(told.overhead.p50_us.map(|us| us / 1e3))),
        Span::raw(format!("  {} in flight", told.active)).dim(),
    ])
}

fn rows(model: &Model, frame: &mut Frame, area: Rect) {
    let rows = model.rows();
    if rows.is_empty() {
        let why = match (&model.link, model.filter.is_empty()) {
            (Link::Down(why), _) => why.clone(),
            (Link::Waiting, _) => "the first frame comes within a second".to_owned(),
            (_, false) => format!("no row holds `{}`", model.filter),
            _ => "no traffic within the last minute".to_owned(),
        };
        frame.render_widget(Paragraph::new(why).dim().alignment(Alignment::Center), area);
        return;
    }
    let wide = area.width >= NARROW;
    let mut names = vec!["ROUTE", "SERVICE", "COLOR", "RATE", "ERRORS", "P99"];
    let mut widths = vec![
        Constraint::Fill(3),
        Constraint::Fill(3),
        Constraint::Fill(2),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(9),
    ];
    if wide {
        names.extend(["P50", "LAST SECONDS"]);
        widths.extend([Constraint::Length(9), Constraint::Length(CHART as u16)]);
    }
    let head = names.into_iter().enumerate().map(|(at, name)| match at {
        3..=6 => right(Span::raw(name)),
        _ => Cell::from(name),
    });
    let dim = Style::new().add_modifier(Modifier::BOLD | Modifier::DIM);
    let head = TableRow::new(head).style(dim);
    let lines = rows.iter().map(|row| line(model, row, wide));
    let table = Table::new(lines, widths)
        .header(head)
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(Some(model.chosen));
    frame.render_stateful_widget(table, area, &mut state);
}

fn line<'r>(model: &Model, row: &'r Row, wide: bool) -> TableRow<'r> {
    let window = &row.measured.window;
    let errors = share(window.errors, window.rps);
    let errors = match window.errors > 0.0 {
        true => errors.red(),
        false => errors.into(),
    };
    let target = match row.service.as_str() {
        "" => "(answered here)".dim(),
        service => Span::raw(format!("{service} {}", row.version)),
    };
    let route = match row.route.as_str() {
        "" => "(no route)".dim(),
        route => Span::raw(route),
    };
    let color = match row.color.as_str() {
        "" => Line::from("uncolored".dim()),
        name => {
            let hue = model.hues.get(name).and_then(|hex| hex.parse().ok());
            let swatch = "● ".fg(hue.unwrap_or(Color::Reset));
            Line::from(vec![swatch, Span::raw(name)])
        }
    };
    let mut cells = vec![
        Cell::from(route),
        Cell::from(target),
        Cell::from(color),
        right(Span::raw(format!("{}/s", number(window.rps)))),
        right(errors),
        right(Span::raw(ms(window.p99_ms))),
    ];
    if wide {
        cells.push(right(Span::raw(ms(window.p50_ms))));
        cells.push(Cell::from(sparks(&model.chart(row)).magenta()));
    }
    TableRow::new(cells)
}

fn right(span: Span<'_>) -> Cell<'_> {
    Cell::from(Line::from(span).alignment(Alignment::Right))
}

/// What needs attention: breakers, refusals, the configuration.
fn notes(model: &Model) -> Vec<Line<'static>> {
    let told = &model.frame;
    let mut notes = Vec::new();
    for breaker in told.breakers.iter().take(3) {
        let when = match (breaker.held, breaker.retry_in_ms) {
            (true, _) => ", held by hand".to_owned(),
            (false, Some(left)) => format!(", tried again in {} s", left.div_ceil(1000)),
            _ => String::new(),
        };
        let name = format!("breaker {}/{} ", breaker.service, breaker.version);
        let state = breaker.state.clone();
        let state = if state == "closed" {
            state.yellow()
        } else {
            state.red()
        };
        notes.push(Line::from(vec![Span::raw(name), state, Span::raw(when)]));
    }
    if !told.refusals.is_empty() {
        let mut reasons: Vec<_> = told.refusals.iter().collect();
        reasons.sort_by(|a, b| b.1.total_cmp(a.1));
        let reasons = reasons.iter().take(5);
        let reasons: Vec<String> = reasons
            .map(|(reason, rate)| format!("{reason} {}/s", number(**rate)))
            .collect();
        notes.push(Line::from(vec![
            "refused  ".dim(),
            Span::raw(reasons.join("  ")),
        ]));
    }
    if let Some(event) = model.events.front() {
        notes.push(Line::from(vec![
            "changed  ".dim(),
            Span::raw(event.clone()),
        ]));
    }
    notes
}

fn footer(model: &Model) -> Line<'static> {
    if model.typing {
        return Line::from(vec![
            "/".bold(),
            Span::raw(model.filter.clone()),
            "▏".into(),
        ]);
    }
    let mut spans = vec![format!("by {}   ", model.sort.name()).into()];
    if !model.filter.is_empty() {
        spans.push(format!("/{}   ", model.filter).yellow());
    }
    spans.push(Span::raw(HELP).dim());
    Line::from(spans)
}

fn details(row: &Row) -> Vec<Line<'static>> {
    let (now, window) = (&row.measured, &row.measured.window);
    let pair = |name: &'static str, value: String| {
        Line::from(vec![format!("{name:<12}").dim(), Span::raw(value)])
    };
    let both = |now: String, window: String| format!("{now:<12} {window}");
    let mut filters = vec![format!("route={}", row.route)];
    if !row.color.is_empty() {
        filters.push(format!("color={}", row.color));
    }
    if !row.version.is_empty() {
        filters.push(format!("version={}", row.version));
    }
    vec![
        pair("route", row.route.clone()),
        pair("served by", format!("{} {}", row.service, row.version)),
        pair("color", row.color.clone()),
        pair("", both("now".into(), "last minute".into())),
        pair("rate", both(number(now.rps), number(window.rps))),
        pair("errors", both(number(now.errors), number(window.errors))),
        pair("refused", both(number(now.refused), number(window.refused))),
        pair("p50", both(ms(now.p50_ms), ms(window.p50_ms))),
        pair("p99", both(ms(now.p99_ms), ms(window.p99_ms))),
        pair("watch", format!("tyrian tap {}", filters.join(" "))),
    ]
}

fn popup(frame: &mut Frame, title: &'static str, text: Vec<Line<'static>>) {
    let area = frame.area();
    let width = area.width.min(64);
    let height = area.height.min(text.len() as u16 + 2);
    let area = Rect {
        x: (area.width - width) / 2,
        y: (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, area);
    frame.render_widget(
        Paragraph::new(text).block(Block::bordered().title(title)),
        area,
    );
}

/// The same table without a terminal.
pub fn table(model: &Model) -> String {
    let line = |[route, target, color, rate, errors, p99]: [&str; 6]| {
        format!("{route:<20} {target:<24} {color:<12} {rate:>11} {errors:>7} {p99:>9}\n")
    };
    let mut text = format!("{}\n", totals(model));
    text.push_str(&line([
        "ROUTE", "SERVICE", "COLOR", "RATE", "ERRORS", "P99",
    ]));
    for row in model.rows() {
        let window = &row.measured.window;
        text.push_str(&line([
            &row.route,
            &format!("{} {}", row.service, row.version),
            &row.color,
            &format!("{}/s", number(window.rps)),
            &share(window.errors, window.rps),
            &ms(window.p99_ms),
        ]));
    }
    text
}

fn number(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.1}k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        0.0 => "0".to_owned(),
        v => format!("{v:.1}"),
    }
}

fn share(part: f64, whole: f64) -> String {
    match whole > 0.0 {
        true => format!("{:.1} %", 100.0 * part / whole),
        false => "–".to_owned(),
    }
}

fn ms(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(ms) if ms >= 1000.0 => format!("{:.1} s", ms / 1e3),
        Some(ms) if ms >= 1.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{:.0} µs", ms * 1e3),
    }
}

/// One letter a second, as high as its value.
fn sparks(values: &[f64]) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = values.iter().copied().fold(0.0, f64::max);
    let step = |value: &f64| {
        let at = if top > 0.0 {
            (value / top * 7.0).round() as usize
        } else {
            0
        };
        STEPS.get(at).copied().unwrap_or('█')
    };
    values.iter().map(step).collect()
}

#[cfg(test)]
mod tests;
