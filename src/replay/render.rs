//! A report for people: as a table, and as a page.

use super::report::{Group, Report};
use crate::config::hidden::is_hidden;
use std::fmt::Write;

/// For a terminal.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    for group in &report.groups {
        let share = percent(group, report);
        let _ = writeln!(
            out,
            "{:>9} {share:>7}  {} → {}",
            group.count, group.before, group.after
        );
        for example in &group.examples {
            let shown = example.replace(is_hidden, "\u{fffd}");
            let _ = writeln!(out, "{:19}{shown}", "");
        }
    }
    if report.beyond > 0 {
        let _ = writeln!(out, "{:>9}          in smaller groups", report.beyond);
    }
    let skipped = match report.skipped {
        0 => String::new(),
        skipped => format!("; {skipped} lines are no requests"),
    };
    let _ = writeln!(
        out,
        "{} of {} requests change ({:.2}%){skipped}",
        report.changed, report.requests, report.changed_percent
    );
    out
}

/// A page of its own, without scripts.
pub fn html(report: &Report) -> String {
    let mut rows = String::new();
    for group in &report.groups {
        let examples: Vec<String> = group.examples.iter().map(|text| escape(text)).collect();
        let _ = writeln!(
            rows,
            "<tr><td class=n>{}<td class=n>{}<td>{}<td>{}<td><code>{}</code>",
            group.count,
            percent(group, report),
            escape(&group.before.to_string()),
            escape(&group.after.to_string()),
            examples.join("<br>"),
        );
    }
    format!(
        "<!doctype html><meta charset=utf-8><title>tyrian replay</title>\n\
         <style>body{{font:14px system-ui;margin:2em}}table{{border-collapse:collapse}}\
         td,th{{border-bottom:1px solid #ddd;padding:.3em .8em;text-align:left;vertical-align:top}}\
         .n{{text-align:right;font-variant-numeric:tabular-nums}}</style>\n\
         <h1>{} of {} requests change</h1>\n\
         <table><tr><th>count<th>share<th>before<th>after<th>examples\n{rows}</table>\n",
        report.changed, report.requests
    )
}

fn percent(group: &Group, report: &Report) -> String {
    let whole = (report.requests as f64).max(1.0);
    format!("{:.2}%", group.count as f64 * 100.0 / whole)
}

fn escape(text: &str) -> String {
    text.replace(is_hidden, "\u{fffd}")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
