//! `tyrian fmt`: one way to lay out a file, with its comments and its order kept.

use toml_edit::{DocumentMut, Item, Table};

/// Lays out a file.
///
/// # Errors
/// When it does not parse.
pub fn format(text: &str) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
    lay_out(document.as_table_mut());
    let text = document.to_string();
    Ok(tidy(&text))
}

fn lay_out(table: &mut Table) {
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Value(value) => {
                key.leaf_decor_mut().set_suffix(" ");
                let suffix = value.decor().suffix().cloned();
                value.decor_mut().set_prefix(" ");
                if let Some(suffix) = suffix {
                    value.decor_mut().set_suffix(suffix);
                }
            }
            Item::Table(table) => lay_out(table),
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(lay_out),
            Item::None => {}
        }
    }
}

/// No trailing white space, no runs of empty lines, one line feed at the end.
fn tidy(text: &str) -> String {
    // White space inside multi-line texts is theirs.
    if text.contains("\"\"\"") || text.contains("'''") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut blank = true;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            if !blank {
                out.push('\n');
            }
            blank = true;
            continue;
        }
        if line.starts_with('[')
            && !blank
            && !out.trim_end().ends_with(']')
            && !ends_in_comment(&out)
        {
            out.push('\n');
        }
        out.push_str(line);
        out.push('\n');
        blank = false;
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// Whether the last line is a comment, which belongs to the table below it.
fn ends_in_comment(text: &str) -> bool {
    text.trim_end()
        .lines()
        .next_back()
        .is_some_and(|line| line.trim_start().starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::format;
    use proptest::prelude::*;

    #[test]
    fn spacing_is_mended_and_comments_stay() {
        let text = "# head\nversion=1   \n\n\n\n[a]\nb   =  \"c\" # why\n[d]\ne=[ 1,2 ]";
        let expected = "# head\nversion = 1\n\n[a]\nb = \"c\" # why\n\n[d]\ne = [ 1,2 ]\n";
        assert_eq!(format(text).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn formatting_twice_is_formatting_once(
            lines in prop::collection::vec(prop::sample::select(vec![
                "[t{}]", "k{} =1", "  k{}= \"x\"  ", "# c", "", "k{} = { a=1 }",
            ]), 0..12),
        ) {
            let numbered = lines.iter().enumerate().map(|(i, line)| line.replace("{}", &i.to_string()));
            let text = numbered.collect::<Vec<_>>().join("\n");
            if let Ok(once) = format(&text) {
                prop_assert_eq!(format(&once).unwrap(), once);
            }
        }
    }
}
