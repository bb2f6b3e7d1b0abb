//! The reference pages, made from the shape of the format and the catalogue of codes.

use super::selector::{KINDS, Use};
use super::shape::{KeyShape, Shape, TableShape};
use super::{codes, root};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The first line of each page.
pub const NOTE: &str =
    "<!-- Made by `tyrian schema --reference docs/reference`; do not edit. -->\n";

/// What holds for values of every section.
const VALUES: &str = "
## Variables

Texts may hold variables of the environment. They are filled in once the file is parsed, so a value
can neither break the file nor add to it.

| written | means |
| --- | --- |
| `${NAME}` | the value, which may be empty; an error where it is not set |
| `${NAME:-default}` | the default where it is not set or empty |
| `${NAME-default}` | the default where it is not set |
| `${NAME:?why}` | an error that says why, where it is not set or empty |
| `${NAME?why}` | the same, where it is not set |
| `${NAME:+text}` | the text where it is set and not empty, else nothing |
| `${NAME+text}` | the text where it is set, else nothing |
| `$$` | a dollar sign: `$${NAME}` is the text `${NAME}` |

A default may hold variables itself, at most eight deep: `${A:-${B}}`. A default that is not needed
is not looked at. Any other `$` stands for itself, as in `\"^/v[0-9]+$\"`. A brace that is never
closed is an error. A text has at most 1 MiB with its variables. Messages, `config show` and
changes name variables and do not show their values.

## Paths

Paths of files are relative to the file that they stand in, not to the working directory. This goes
for `include`, for every file of keys, certificates, lists and secrets, for `access_log.path`, and
for Unix sockets (`unix:run/shop.sock`). Messages name paths in full. A generation from the history
keeps the directories it was read from.

Files are regular ones (or links to them): a named pipe, a socket or a device is an error. Sizes
are bounded: 64 MiB for a configuration file or a list, 16 MiB for certificates, 1 MiB for a secret.
The patterns of `include` know `*`, `?`, `[…]` and `**`; one pattern looks at no more than
50,000 names.
";

/// The pages besides those of sections.
const OTHERS: &str = "
## Other pages

| page | what it lists |
| --- | --- |
| [Selectors](selectors.md) | which value of a request counts, as a key, a token or a color |
| [Error codes](codes.md) | what `tyrian check` finds |
| [Reasons](reasons.md) | why a request is refused |
| [Metrics](metrics.md) | what `/metrics` counts |
| [Command line](cli.md) | every verb and option |
";

/// What holds for all selectors.
const SELECTORS: &str = "# Selectors

A selector says which value of a request counts: as the key of a limit, a hash or a share, as a token,
or as a color.

| selector | value | may be |
| --- | --- | --- |
";

/// How values are read, the same for every use.
const SELECTED: &str = "
A value that is empty counts as absent, everywhere. Of several values the first counts: of several
lines of a header, of several cookies, keys of a query or members of the baggage with the same name,
and of a claim that is a list. `scope` and `scp` are lists in one text. So two clients whose claims
differ from the second value on share a bucket, an endpoint and a side of a share; choose a claim that
has one value, such as `sub`, as a key. Two things are different: a header or a key of the query that
comes more than once is no token (401 `jwt_malformed`), and conditions (`match`, `when`, `require`)
look at every value. An address of IPv6 counts as its /64, everywhere: a customer has at least that much,
and may use a new address for each request.
";

/// File name to text.
pub fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let root = root::whole::shape();
    let mut index =
        format!("{NOTE}# Configuration reference\n\n| section | what it is |\n| --- | --- |\n");
    for key in &root.keys {
        let _ = writeln!(index, "| [`{0}`]({0}.md) | {1} |", key.name, key.about);
        pages.insert(format!("{}.md", key.name), page(key));
    }
    index.push_str(VALUES);
    pages.insert("selectors.md".to_owned(), format!("{NOTE}{}", selectors()));
    index.push_str(OTHERS);
    pages.insert("README.md".to_owned(), index);
    pages.insert("codes.md".to_owned(), codes_page());
    pages
}

fn selectors() -> String {
    let mut text = SELECTORS.to_owned();
    for kind in KINDS {
        let uses = Use::ALL.iter().filter(|wanted| kind.is_for(**wanted));
        let uses: Vec<&str> = uses.map(|wanted| wanted.what()).collect();
        let (form, about, uses) = (kind.form(), kind.about(), uses.join(", "));
        let _ = writeln!(text, "| `{form}` | {about} | {uses} |");
    }
    text.push_str(SELECTED);
    text
}

fn page(key: &KeyShape) -> String {
    let title = match &key.shape {
        Shape::Map(what, _) => format!("[{}.{}]", key.name, what.to_uppercase()),
        Shape::List(_, false) => format!("[[{}]]", key.name),
        _ => format!("`{}`", key.name),
    };
    let mut text = format!("{NOTE}# {title}\n\n{}\n", key.about);
    describe(&mut text, key.name, &key.shape, 2);
    text
}

/// The table behind a shape, below its name.
fn describe(text: &mut String, name: &str, shape: &Shape, depth: usize) {
    match shape {
        Shape::Table(table) => keys(text, name, table, depth),
        Shape::Map(what, one) => {
            describe(text, &format!("{name}.{}", what.to_uppercase()), one, depth);
        }
        Shape::List(one, _) => describe(text, name, one, depth),
        Shape::Any(shapes) => shapes
            .iter()
            .for_each(|shape| describe(text, name, shape, depth)),
        _ => {}
    }
}

fn keys(text: &mut String, name: &str, table: &TableShape, depth: usize) {
    let marks = "#".repeat(depth.min(6));
    let _ = writeln!(text, "\n{marks} `{name}`\n\n{}\n", table.about);
    text.push_str("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for key in &table.keys {
        let default = match (key.required, key.default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) if default.starts_with(['"', '[', '{']) => {
                format!("`{default}`")
            }
            (false, default) => default.unwrap_or("").to_owned(),
        };
        let value = words(&key.shape).replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{}` | {value} | {default} | {} |",
            key.name, key.about,
        );
    }
    for key in &table.keys {
        describe(text, &format!("{name}.{}", key.name), &key.shape, depth + 1);
    }
}

/// A shape in a few words.
fn words(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Integer(min, max) => format!("{min} to {max}"),
        Shape::Text(what, _) => (*what).to_owned(),
        Shape::Words(all) => all
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Shape::List(one, _) => format!("list of: {}", words(one)),
        Shape::Map(what, one) => format!("{what} = {}", words(one)),
        Shape::Table(_) => "table".to_owned(),
        Shape::Any(shapes) => shapes.iter().map(words).collect::<Vec<_>>().join(", or "),
        Shape::Anything => "anything".to_owned(),
    }
}

fn codes_page() -> String {
    let mut text = format!("{NOTE}# Error codes\n");
    for code in codes::ALL {
        let _ = write!(text, "\n## {}: {}\n\n", code.code, code.title);
        // Two lines that are held against each other stay two lines.
        let _ = match code.text.split_once("\n\nWrong:") {
            Some((about, pair)) => writeln!(text, "{about}\n\n```text\nWrong:{pair}\n```"),
            None => writeln!(text, "{}", code.text),
        };
    }
    text
}
