//! `tyrian plugin`

use super::{Exit, Output, print, print_json};
use crate::plugin;
use serde_json::json;
use std::path::{Path, PathBuf};

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
    let sdk = match sdk.map(|sdk| found(sdk)).transpose() {
        Ok(sdk) => sdk,
        Err(problem) => {
            eprintln!("error: {problem}");
            return Exit::Failed;
        }
    };
    let directory = to.unwrap_or_else(|| PathBuf::from(name));
    if directory.exists() {
        eprintln!("error: {} is there already", directory.display());
        return Exit::Failed;
    }
    let written = std::fs::create_dir_all(directory.join("src")).and_then(|()| {
        std::fs::write(directory.join("Cargo.toml"), manifest(name, sdk.as_deref()))?;
        std::fs::write(directory.join("src/lib.rs"), source(name))?;
        std::fs::write(directory.join("src/main.rs"), main_of(name))
    });
    match written {
        Ok(()) => {
            let directory = directory.display();
            print(&format!(
                "{directory}/src/lib.rs  the plugin and its test: cargo test\n\
                 {directory}/src/main.rs a gateway that has it: \
                 cargo run --features gateway -- plugin list\n"
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

/// Returns where the SDK is, in full: the manifest that names it lies in another directory.
fn found(sdk: &Path) -> Result<PathBuf, String> {
    let problem = |why: &dyn std::fmt::Display| {
        let sdk = sdk.display();
        format!("`{sdk}` is not the directory of the crate `tyrian-plugin`: {why}")
    };
    let directory = sdk.canonicalize().map_err(|error| problem(&error))?;
    let manifest = std::fs::read_to_string(directory.join("Cargo.toml"));
    let manifest = manifest.map_err(|error| problem(&error))?;
    match manifest.contains("name = \"tyrian-plugin\"") {
        true => Ok(directory),
        false => Err(problem(&"its Cargo.toml is that of another crate")),
    }
}

/// Stands in for a crate that Pingora pulls in, see its manifest. A workspace alone decides
/// about its patches, so those of the gateway do not reach a crate outside.
const VENDORED: &str = "vendor/libz-ng-sys";

fn manifest(name: &str, sdk: Option<&Path>) -> String {
    let root = sdk.and_then(|sdk| sdk.ancestors().nth(2));
    let place = |path: Option<&Path>| match path {
        Some(path) => format!("path = {:?}", path.to_string_lossy()),
        None => "version = \"0.1\"".to_owned(),
    };
    let (sdk, gateway) = (place(sdk), place(root));
    let vendored = root.map(|root| root.join(VENDORED));
    let patch = match vendored.filter(|path| path.exists()) {
        Some(path) => format!(
            "\n# The gateway needs it to be built without cmake.\n[patch.crates-io]\n\
             libz-ng-sys = {{ path = {:?} }}\n",
            path.to_string_lossy()
        ),
        None => String::new(),
    };
    format!(
        "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         tyrian-plugin = {{ {sdk} }}\ntyrian = {{ {gateway}, optional = true }}\n\n[features]\n\
         # The gateway of src/main.rs. Tests of the plugin do without it.\n\
         gateway = [\"dep:tyrian\"]\n\n[[bin]]\nname = {name:?}\npath = \"src/main.rs\"\n\
         required-features = [\"gateway\"]\n{patch}\n[workspace]\n"
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
        let registry = manifest("rate-card", None);
        assert!(
            registry.contains("tyrian-plugin = { version = \"0.1\" }"),
            "{registry}"
        );
        assert!(!registry.contains("patch"), "{registry}");
    }

    #[test]
    fn an_sdk_that_is_not_there_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("Cargo.toml"),
            "[package]\nname = \"other\"\n",
        )
        .unwrap();
        let to = dir.path().join("crate");
        for sdk in [dir.path().join("nowhere"), dir.path().to_owned()] {
            let made = new("greeter", Some(&sdk), Some(to.clone()));
            assert_eq!(made, Exit::Failed, "{}", sdk.display());
            assert!(!to.exists());
        }
    }
}
