//! A flame graph: who called whom, as wide as the time it took, or the memory.

use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: f64 = 1200.0;
const ROW: usize = 18;
/// Narrower than this (in pixels), a frame is not drawn.
const NARROWEST: f64 = 0.5;
/// Deepest stack that is drawn.
const DEEPEST: usize = 160;

#[derive(Debug, Default)]
struct Frame {
    weight: u64,
    callees: BTreeMap<String, Frame>,
}

impl Frame {
    fn depth(&self) -> usize {
        let deepest = self.callees.values().map(Self::depth).max();
        1 + deepest.unwrap_or(0)
    }
}

/// Draws stacks with their weights, callers below their callees; names are told from the outermost on.
pub fn draw(unit: &str, stacks: impl Iterator<Item = (Vec<String>, u64)>) -> String {
    let mut root = Frame::default();
    for (names, weight) in stacks {
        let mut at = &mut root;
        at.weight += weight;
        for name in names.into_iter().take(DEEPEST) {
            at = at.callees.entry(name).or_default();
            at.weight += weight;
        }
    }
    picture(&root, unit)
}

fn picture(root: &Frame, unit: &str) -> String {
    let rows = root.depth().min(DEEPEST + 2);
    let height = rows * ROW + 30;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"ui-monospace, monospace\" font-size=\"11\">\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text x=\"8\" y=\"18\">{} {unit}</text>\n",
        root.weight
    );
    let scale = WIDTH / root.weight.max(1) as f64;
    let of = (root.weight, unit);
    row(&mut svg, root, 0.0, height - ROW, scale, of);
    svg.push_str("</svg>\n");
    svg
}

fn row(svg: &mut String, below: &Frame, mut x: f64, y: usize, scale: f64, of: (u64, &str)) {
    let (total, unit) = of;
    for (name, frame) in &below.callees {
        let width = frame.weight as f64 * scale;
        if width >= NARROWEST {
            let share = 100.0 * frame.weight as f64 / total.max(1) as f64;
            let shade = name
                .bytes()
                .fold(0_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
            let name = escaped(name);
            let fits = (width / 6.8) as usize;
            let short: String = if fits > 3 {
                cut(&name, fits)
            } else {
                String::new()
            };
            let _ = writeln!(
                svg,
                "<g><title>{name} ({} {unit}, {share:.1} %)</title>\
                 <rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" rx=\"2\" \
                 fill=\"hsl({} 55% 78%)\"/><text x=\"{:.1}\" y=\"{}\">{short}</text></g>",
                frame.weight,
                ROW - 1,
                300 + shade % 60,
                x + 3.0,
                y + 12,
            );
            row(svg, frame, x, y.saturating_sub(ROW), scale, of);
        }
        x += width;
    }
}

fn escaped(name: &str) -> String {
    name.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// As much of an escaped name as fits, entities whole.
fn cut(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let short: String = name.chars().take(most - 1).collect();
    let whole = match short.rfind('&') {
        Some(at) if !short.get(at..).is_some_and(|rest| rest.contains(';')) => short.get(..at),
        _ => Some(short.as_str()),
    };
    format!("{}…", whole.unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::{Frame, cut, picture};

    #[test]
    fn frames_are_as_wide_as_their_samples_and_names_are_escaped() {
        let mut root = Frame {
            weight: 4,
            ..Frame::default()
        };
        for (name, weight) in [("a<T>", 1), ("b", 3)] {
            let frame = Frame {
                weight,
                ..Frame::default()
            };
            root.callees.insert(name.to_owned(), frame);
        }
        let svg = picture(&root, "samples");
        assert!(
            svg.contains("<title>a&lt;T&gt; (1 samples, 25.0 %)</title>"),
            "{svg}"
        );
        assert!(
            svg.contains("x=\"300.0\" y=\"48\" width=\"900.0\""),
            "{svg}"
        );
    }

    #[test]
    fn a_name_is_cut_between_entities() {
        assert_eq!(cut("ab&lt;T&gt;", 5), "ab…");
        assert_eq!(cut("abc", 5), "abc");
    }
}
