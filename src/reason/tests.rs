//! The table of reasons holds together, and the documents say the same.

use super::{Reason, Row};

const POLICIES: &str = include_str!("../../docs/how/policies.md");

#[test]
fn all_is_in_the_order_of_the_enum() {
    for (index, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, index);
    }
}

#[test]
fn rows_are_complete_and_names_are_unique() {
    for reason in Reason::ALL {
        let Row {
            name,
            proxy_status,
            text,
            means,
            look,
            ..
        } = reason.row();
        assert_eq!(Reason::named(name), Some(reason));
        assert!(proxy_status.starts_with("tyrian; error="), "{name}");
        assert!(!text.is_empty(), "{name}");
        // The text stands in JSON and in quoted strings of fields as it is.
        assert!(!text.contains(['"', '\\']), "{name}");
        assert!(!means.is_empty() && !look.is_empty(), "{name}");
        assert!(!means.contains("  ") && !look.contains("  "), "{name}");
    }
    assert_eq!(Reason::named("breaker"), None);
}

#[test]
fn an_explanation_begins_with_name_and_status() {
    for reason in Reason::ALL {
        let text = reason.explanation();
        let start = format!("{}: {}", reason.name(), reason.status());
        assert!(text.starts_with(&start), "{text}");
    }
}

/// The cells of each row of the Markdown tables of a document.
fn table_rows(document: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = document.lines().filter(|line| line.starts_with("| "));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// The reasons that a cell names, each in backticks.
fn reasons(cell: &str) -> impl Iterator<Item = Reason> {
    cell.split('`').skip(1).step_by(2).filter_map(Reason::named)
}

#[test]
fn policies_names_statuses_that_reasons_have() {
    let (_, section) = POLICIES.split_once("| step |").unwrap();
    let section = section.split("\n\n").next().unwrap();
    let mut named = 0;
    for row in table_rows(section) {
        for reason in reasons(row[2]) {
            assert!(row[2].contains(&reason.status().to_string()), "{row:?}");
            named += 1;
        }
    }
    assert!(named >= 8, "{named}");
}
