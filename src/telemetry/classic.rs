//! The classic text format of Prometheus, for those who do not ask for OpenMetrics.

/// The text of a scrape in OpenMetrics, in the classic format: counters are named as their samples
/// are, and nothing stands behind a value.
pub fn classic(scrape: &str) -> String {
    let mut text = String::with_capacity(scrape.len());
    // Help comes before the type, which says whether it is a counter.
    let mut help = None;
    for line in scrape.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, help)) = help.take() {
                text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            let plain = line.split_once(" # {").map_or(line, |(plain, _)| plain);
            text.push_str(plain);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::classic;

    #[test]
    fn counters_keep_their_ending_and_exemplars_go() {
        let text = "# HELP a So many.\n# TYPE a counter\na_total 1\n# HELP b Time.\n\
                    # TYPE b histogram\nb_bucket{le=\"1.0\"} 2 # {trace_id=\"x\"} 0.5 1.0\n# EOF\n";
        let wanted = "# HELP a_total So many.\n# TYPE a_total counter\na_total 1\n# HELP b Time.\n\
                      # TYPE b histogram\nb_bucket{le=\"1.0\"} 2\n";
        assert_eq!(classic(text), wanted);
    }
}
