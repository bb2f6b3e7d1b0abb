//! The top of a configuration: sections from all files, merged into one namespace.

pub mod whole;

use super::admin::Admin;
use super::auth::{ApiKeys, ForwardAuth};
use super::breaker::Breaker;
use super::color::{Color, Coloring};
use super::diagnostic::{Diagnostic, Spot, nearest};
use super::discovery::Discovery;
use super::jwt::Jwt;
use super::limit::Limit;
use super::listener::Listener;
use super::plugin::Plugin;
use super::reader::{Cx, Kind, Node, Read, ReadNamed};
use super::rollout::Rollout;
use super::route::Route;
use super::server::Server;
use super::service::Service;
use super::telemetry::Telemetry;
use super::test::Test;
use super::values::bounded;
use super::{Config, Name, entry_place, name_is_sound};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Sections by name, and what each is.
const SECTIONS: [&str; 19] = [
    "version",
    "include",
    "server",
    "listeners",
    "admin",
    "discovery",
    "services",
    "coloring",
    "colors",
    "rollouts",
    "jwt",
    "api_keys",
    "forward_auth",
    "limits",
    "breakers",
    "plugins",
    "routes",
    "telemetry",
    "tests",
];

/// A parsed file.
pub struct File<'a> {
    pub name: Arc<str>,
    pub tree: Spanned<DeTable<'a>>,
}

/// Names that are defined, for references; also those whose tables are wrong inside.
#[derive(Default)]
pub struct Defined {
    entries: HashMap<&'static str, BTreeSet<String>>,
    /// Of each service.
    versions: HashMap<String, BTreeSet<String>>,
}

/// What reading all files gives.
pub struct Root {
    /// Everything that could be read: one mistake must not hide what else is wrong.
    pub config: Config,
    /// Whether that is all there is.
    pub whole: bool,
    pub defined: Defined,
}

/// Reads the sections of all files.
pub fn read(files: &[File], cx: &Cx) -> Root {
    for file in files {
        unknown_sections(file, cx);
        version(file, cx);
    }
    let mut defined = Defined::default();
    let server = single::<Server>(files, "server", cx);
    let admin = single::<Admin>(files, "admin", cx);
    let coloring = single::<Coloring>(files, "coloring", cx);
    let telemetry = single::<Telemetry>(files, "telemetry", cx);
    let listeners = named::<Listener>(files, "listeners", cx, &mut defined);
    let discovery = named::<Discovery>(files, "discovery", cx, &mut defined);
    let services = named::<Service>(files, "services", cx, &mut defined);
    let colors = named::<Color>(files, "colors", cx, &mut defined);
    let routes = named::<Route>(files, "routes", cx, &mut defined);
    name_versions(files, &mut defined);
    let jwt = named::<Jwt>(files, "jwt", cx, &mut defined);
    let api_keys = named::<ApiKeys>(files, "api_keys", cx, &mut defined);
    let forward_auth = named::<ForwardAuth>(files, "forward_auth", cx, &mut defined);
    let limits = named::<Limit>(files, "limits", cx, &mut defined);
    let breakers = named::<Breaker>(files, "breakers", cx, &mut defined);
    providers(files, cx, &mut defined);
    let plugins = named::<Plugin>(files, "plugins", cx, &mut defined);
    let rollouts = named::<Rollout>(files, "rollouts", cx, &mut defined);
    let tests = tests(files, cx);
    let whole = server.is_some()
        && listeners.1
        && admin.is_some()
        && discovery.1
        && services.1
        && coloring.is_some()
        && colors.1
        && rollouts.1
        && jwt.1
        && api_keys.1
        && forward_auth.1
        && limits.1
        && breakers.1
        && plugins.1
        && routes.1
        && telemetry.is_some()
        && tests.is_some();
    let config = Config {
        server: server.flatten().unwrap_or_default(),
        listeners: listeners.0,
        admin: admin.flatten().unwrap_or_default(),
        discovery: discovery.0,
        services: services.0,
        coloring: coloring.flatten().unwrap_or_default().resolved(),
        colors: colors.0,
        rollouts: rollouts.0,
        jwt: jwt.0,
        api_keys: api_keys.0,
        forward_auth: forward_auth.0,
        limits: limits.0,
        breakers: breakers.0,
        plugins: plugins.0,
        routes: routes.0,
        telemetry: telemetry.flatten().unwrap_or_default(),
        tests: tests.unwrap_or_default(),
    };
    Root {
        config,
        whole,
        defined,
    }
}

fn get<'a>(file: &'a File, key: &str) -> Option<(&'a Spanned<toml::de::DeString<'a>>, Node<'a>)> {
    let (name, value) = file
        .tree
        .get_ref()
        .iter()
        .find(|(name, _)| name.get_ref() == key)?;
    Some((name, Node::new(value, &file.name, key.to_owned())))
}

fn unknown_sections(file: &File, cx: &Cx) {
    for (name, _) in file.tree.get_ref() {
        if SECTIONS.contains(&name.get_ref().as_ref()) {
            continue;
        }
        let spot = Spot {
            file: file.name.clone(),
            span: name.span(),
        };
        let message = format!("unknown key `{}` at the top of the file", name.get_ref());
        let diagnostic = Diagnostic::error("TY0201", message).at(&spot, "not a section");
        cx.report(match nearest(name.get_ref(), SECTIONS) {
            Some(meant) => diagnostic
                .help(format!("did you mean `{meant}`?"))
                .patch(&spot, meant),
            None => diagnostic.help(format!("sections: {}", SECTIONS.join(", "))),
        });
    }
}

fn version(file: &File, cx: &Cx) {
    let Some((_, node)) = get(file, "version") else {
        return;
    };
    let Some(version) = bounded::<i64>(&node, cx, i64::MIN, i64::MAX) else {
        return;
    };
    if version != 1 {
        let message = format!("version {version} of the format is not known");
        node.invalid(cx, message, "this gateway reads version 1");
    }
}

/// A section that may stand in one file only. `None`: it is wrong.
fn single<T: Read>(files: &[File], key: &'static str, cx: &Cx) -> Option<Option<T>> {
    let found: Vec<_> = files.iter().filter_map(|file| get(file, key)).collect();
    if let [(first, one), (second, two), ..] = found.as_slice() {
        let message = format!("`[{key}]` is defined twice");
        let first = Spot {
            file: one.file.clone(),
            span: first.span(),
        };
        let second = Spot {
            file: two.file.clone(),
            span: second.span(),
        };
        let diagnostic = Diagnostic::error("TY0102", message);
        cx.report(
            diagnostic
                .at(&second, "again here")
                .at(&first, "first here"),
        );
        return None;
    }
    match found.first() {
        Some((_, node)) => T::read(node, cx).map(Some),
        None => Some(None),
    }
}

/// The entries of a section in all files, in the order of the files.
fn entries<'a>(
    files: &'a [File],
    section: &'static str,
    cx: &Cx,
) -> Vec<(Spanned<&'a str>, Node<'a>)> {
    let mut entries = Vec::new();
    let mut seen: HashMap<&str, Spot> = HashMap::new();
    for file in files {
        let Some((_, node)) = get(file, section) else {
            continue;
        };
        let DeValue::Table(table) = node.value else {
            node.wrong_type(cx, "a table of named entries");
            continue;
        };
        for (name, value) in table {
            let spot = Spot {
                file: file.name.clone(),
                span: name.span(),
            };
            if let Some(first) = seen.get(name.get_ref().as_ref()) {
                let message = format!("`[{section}.{}]` is defined twice", name.get_ref());
                let diagnostic = Diagnostic::error("TY0102", message);
                cx.report(diagnostic.at(&spot, "again here").at(first, "first here"));
                continue;
            }
            seen.insert(name.get_ref().as_ref(), spot);
            let node = Node::new(value, &file.name, format!("{section}.{}", name.get_ref()));
            entries.push((Spanned::new(name.span(), name.get_ref().as_ref()), node));
        }
    }
    entries
}

/// The entries of a section that could be read, and whether those are all.
fn named<T: ReadNamed>(
    files: &[File],
    section: &'static str,
    cx: &Cx,
    defined: &mut Defined,
) -> (BTreeMap<Name, T>, bool) {
    let mut all = BTreeMap::new();
    let mut whole = files
        .iter()
        .filter_map(|file| get(file, section))
        .all(|(_, node)| node.value.is_table());
    for (name, node) in entries(files, section, cx) {
        defined.add(section, name.get_ref());
        let sound = name_is_sound(name.get_ref(), &node, name.span(), cx);
        let at = entry_place(&node, name.span());
        let name = Name::from(*name.get_ref());
        match T::read_named(&name, &node, at, cx).filter(|_| sound) {
            Some(entry) => {
                all.insert(name, entry);
            }
            None => whole = false,
        }
    }
    (all, whole)
}

/// Notes the versions of each service, whatever else is wrong with it.
fn name_versions(files: &[File], defined: &mut Defined) {
    let services = files.iter().filter_map(|file| {
        let (_, node) = get(file, "services")?;
        node.value.as_table()
    });
    for (name, service) in services.flatten() {
        let versions = service
            .get_ref()
            .as_table()
            .and_then(|service| service.get("versions"))
            .and_then(|versions| versions.get_ref().as_table());
        if let Some(versions) = versions {
            let names = versions.keys().map(|name| name.get_ref().to_string());
            let known = defined.versions.entry(name.get_ref().to_string());
            known.or_default().extend(names);
        }
    }
}

/// Whatever a route's `auth` may name, in one namespace.
fn providers(files: &[File], cx: &Cx, defined: &mut Defined) {
    let mut seen: HashMap<String, Spot> = HashMap::new();
    for section in ["jwt", "api_keys", "forward_auth"] {
        let tables = files.iter().filter_map(|file| {
            let (_, node) = get(file, section)?;
            Some((node.value.as_table()?, file.name.clone()))
        });
        for (name, file) in
            tables.flat_map(|(table, file)| table.keys().map(move |name| (name, file.clone())))
        {
            let spot = Spot {
                file,
                span: name.span(),
            };
            let known = name.get_ref().to_string();
            defined.add("auth", &known);
            let first = seen.insert(known, spot.clone());
            if let Some(first) = first.filter(|first| *first != spot) {
                let message = format!("`{}` names two providers", name.get_ref());
                let diagnostic = Diagnostic::error("TY0102", message);
                cx.report(diagnostic.at(&spot, "again here").at(&first, "first here"));
            }
        }
    }
}

fn tests(files: &[File], cx: &Cx) -> Option<Vec<Test>> {
    let mut all = Some(Vec::new());
    for file in files {
        let Some((_, node)) = get(file, "tests") else {
            continue;
        };
        for node in node.elements(cx, false) {
            match (Test::read(&node, cx), &mut all) {
                (Some(test), Some(all)) => all.push(test),
                _ => all = None,
            }
        }
    }
    all
}

impl Defined {
    fn add(&mut self, section: &'static str, name: &str) {
        let names = self.entries.entry(section).or_default();
        names.insert(name.to_owned());
    }

    /// All names of a kind; `None`: nothing is known about it, so nothing can be said.
    pub fn names(&self, kind: &Kind) -> Option<&BTreeSet<String>> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        let section = match kind {
            Kind::Service => "services",
            Kind::Route => "routes",
            Kind::Entry(section) => section,
            Kind::Version { service } => return self.versions.get(service),
        };
        Some(self.entries.get(section).unwrap_or(&NONE))
    }
}
