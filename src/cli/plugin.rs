//! `tyrian plugin`

use super::{Exit, Output, print, print_json};
use crate::plugin;
use serde_json::json;
use std::path::PathBuf;

/// List plugins, show what they take, begin a new one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tyrian plugin list
  tyrian plugin new greeter --sdk ../tyrian/plugins/sdk")]
pub struct Args {
    #[command(subcommand)]
    what: What,
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The plugins of this gateway
    List,
    /// The JSON Schema of a plugin's configuration
    Schema { name: String },
    /// Write a crate with a plugin that works, its test, and a gateway that has it
    New {
        /// Lower-case letters, digits and `-`
        name: String,
        /// Where the crate `tyrian-plugin` is; without it, the registry's
        #[arg(long, value_name = "DIR")]
        sdk: Option<PathBuf>,
        /// Where it goes [default: NAME]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

pub fn run(args: &Args) -> Exit {
    match &args.what {
        What::List => list(args.output),
        What::Schema { name } => schema(name),
        What::New { name, sdk, to } => new(name, sdk.as_ref(), to.clone()),
    }
}

fn list(output: Output) -> Exit {
    if output == Output::Json {
        let all = plugin::known().iter().map(|known| {
            json!({
                "name": known.name,
                "version": known.version,
                "about": known.about,
                "phases": known.phases.names(),
            })
        });
        print_json(&all.collect());
        return Exit::Ok;
    }
    for known in plugin::known() {
        let phases = known.phases.names().join(", ");
        print(&format!(
            "{:<18} {:<8} {} ({phases})\n",
            known.name, known.version, known.about
        ));
    }
    Exit::Ok
}

fn schema(name: &str) -> Exit {
    match plugin::known().iter().find(|known| known.name == name) {
        Some(known) => {
            print_json(&(known.schema)());
            Exit::Ok
        }
        None => {
            eprintln!("error: there is no plugin `{name}`; see tyrian plugin list");
            Exit::Failed
        }
    }
}

/// What a new crate begins with: a member of this workspace, so it compiles and its test holds.
const SOURCE: &str = include_str!("../../plugins/template/src/lib.rs");

/// Keywords, crates that each program has, and those that the new one uses.
const TAKEN: [&str; 62] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "template",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "tyrian",
    "tyrian-plugin",
    "union",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "build",
    "deps",
];

fn new(name: &str, sdk: Option<&PathBuf>, to: Option<PathBuf>) -> Exit {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if !begins || !name.bytes().all(letters) || name.ends_with('-') {
        eprintln!("error: `{name}` is no name: lower-case letters, digits and `-`");
        return Exit::Usage;
    }
    if TAKEN.contains(&name) {
        eprintln!("error: no crate can be called `{name}`: the word has a meaning of its own");
        return Exit::Usage;
    }
    let directory = to.unwrap_or_else(|| PathBuf::from(name));
    if directory.exists() {
        eprintln!("error: {} is there already", directory.display());
        return Exit::Failed;
    }
    let written = std::fs::create_dir_all(directory.join("src")).and_then(|()| {
        std::fs::write(directory.join("Cargo.toml"), manifest(name, sdk))?;
        std::fs::write(directory.join("src/lib.rs"), source(name))?;
        std::fs::write(directory.join("src/main.rs"), main_of(name))
    });
    match written {
        Ok(()) => {
            let directory = directory.display();
            print(&format!(
                "{directory}/src/lib.rs  the plugin and its test: cargo test\n\
                 {directory}/src/main.rs a gateway that has it: cargo run -- plugin list\n"
            ));
            Exit::Ok
        }
        Err(error) => {
            eprintln!("error: cannot write {}: {error}", directory.display());
            Exit::Failed
        }
    }
}

/// `rate-card` to `RateCard`.
fn type_name(name: &str) -> String {
    let words = name.split('-').filter_map(|word| {
        let mut letters = word.chars();
        Some(letters.next()?.to_ascii_uppercase().to_string() + letters.as_str())
    });
    words.collect()
}

fn source(name: &str) -> String {
    SOURCE
        .replace("\"template\"", &format!("{name:?}"))
        .replace("Template", &type_name(name))
}

fn manifest(name: &str, sdk: Option<&PathBuf>) -> String {
    let own = |name: &str, path: Option<PathBuf>| match path {
        Some(path) => format!("{name} = {{ path = {:?} }}\n", path.to_string_lossy()),
        None => format!("{name} = \"0.1\"\n"),
    };
    let root = sdk.map(|sdk| sdk.join("../.."));
    format!(
        "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         {}{}\n[workspace]\n",
        own("tyrian-plugin", sdk.cloned()),
        own("tyrian", root),
    )
}

fn main_of(name: &str) -> String {
    format!(
        "//! A gateway with one plugin more.\n\nfn main() -> std::process::ExitCode {{\n    \
         tyrian::Gateway::builder()\n        .plugin::<{}::{}>()\n        .main()\n}}\n",
        name.replace('-', "_"),
        type_name(name)
    )
}

#[cfg(test)]
mod tests {
    use super::{Exit, main_of, manifest, new, source};

    #[test]
    fn a_name_that_no_crate_can_have_is_refused_before_anything_is_written() {
        for name in ["fn", "std", "tyrian", "test", "Upper", "a-"] {
            let dir = tempfile::tempdir().unwrap();
            let to = dir.path().join("crate");
            assert_eq!(new(name, None, Some(to.clone())), Exit::Usage, "{name}");
            assert!(!to.exists(), "{name}");
        }
    }

    #[test]
    fn a_new_plugin_has_its_own_name_everywhere() {
        let source = source("rate-card");
        assert!(source.contains("pub struct RateCard"));
        assert!(source.contains("const NAME: &'static str = \"rate-card\""));
        assert!(!source.to_lowercase().contains("template"));
        assert!(main_of("rate-card").contains("rate_card::RateCard"));
        let path = std::path::PathBuf::from("sdk");
        assert!(manifest("rate-card", Some(&path)).contains("tyrian-plugin = { path = \"sdk\" }"));
    }
}
