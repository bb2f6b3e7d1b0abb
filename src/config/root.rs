//! The top of a configuration: sections from all files, merged into one namespace.

use super::admin::Admin;
use super::color::{Color, Coloring};
use super::diagnostic::{Diagnostic, Spot, nearest};
use super::listener::Listener;
use super::policy;
use super::reader::{Cx, Kind, Node, Read, ReadNamed, not_yet};
use super::route::Route;
use super::server::Server;
use super::service::Service;
use super::shape::{KeyShape, Shape, TableShape};
use super::telemetry::Telemetry;
use super::test::Test;
use super::{Config, Name, entry_place, name_is_sound};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Sections by name, and what each is.
const SECTIONS: [&str; 16] = [
    "version",
    "include",
    "server",
    "listeners",
    "admin",
    "services",
    "coloring",
    "colors",
    "rollouts",
    "jwt",
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
        strangers(file, cx);
        version(file, cx);
    }
    let mut defined = Defined::default();
    let server = single::<Server>(files, "server", cx);
    let admin = single::<Admin>(files, "admin", cx);
    let coloring = single::<Coloring>(files, "coloring", cx);
    let telemetry = single::<Telemetry>(files, "telemetry", cx);
    let listeners = named::<Listener>(files, "listeners", cx, &mut defined);
    let services = named::<Service>(files, "services", cx, &mut defined);
    let colors = named::<Color>(files, "colors", cx, &mut defined);
    let routes = named::<Route>(files, "routes", cx, &mut defined);
    name_versions(files, &mut defined);
    later::<policy::Jwt>(files, "jwt", cx, &mut defined);
    later::<policy::Limit>(files, "limits", cx, &mut defined);
    later::<policy::Breaker>(files, "breakers", cx, &mut defined);
    later::<policy::Plugin>(files, "plugins", cx, &mut defined);
    later::<policy::Rollout>(files, "rollouts", cx, &mut defined);
    let tests = tests(files, cx);
    let whole = server.is_some()
        && listeners.1
        && admin.is_some()
        && services.1
        && coloring.is_some()
        && colors.1
        && routes.1
        && telemetry.is_some()
        && tests.is_some();
    let config = Config {
        server: server.flatten().unwrap_or_default(),
        listeners: listeners.0,
        admin: admin.flatten().unwrap_or_default(),
        services: services.0,
        coloring: coloring.flatten().unwrap_or_default(),
        colors: colors.0,
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

fn strangers(file: &File, cx: &Cx) {
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
    let Some(version) = u32::read(&node, cx) else {
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

/// A section that is checked, but not supported yet.
fn later<T: Read>(files: &[File], section: &'static str, cx: &Cx, defined: &mut Defined) {
    for (name, node) in entries(files, section, cx) {
        defined.add(section, name.get_ref());
        if T::read(&node, cx).is_some() {
            let spot = Spot {
                file: node.file.clone(),
                span: name.span(),
            };
            not_yet(cx, &spot, &format!("`[{section}.{}]`", name.get_ref()));
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

/// The whole format.
#[expect(
    clippy::too_many_lines,
    reason = "one list of sections, a line or two each"
)]
pub fn shape() -> TableShape {
    fn key(name: &'static str, about: &str, shape: Shape) -> KeyShape {
        KeyShape {
            name,
            about: about.to_owned(),
            shape,
            required: false,
            default: None,
        }
    }
    fn map(what: &'static str, shape: Shape) -> Shape {
        Shape::Map(what, Box::new(shape))
    }
    fn later(what: &'static str, shape: Shape) -> Shape {
        Shape::Later(Box::new(map(what, shape)))
    }
    let file = Shape::Text("file pattern, relative to this file", "");
    TableShape {
        about: "A configuration of the gateway.".to_owned(),
        keys: vec![
            key("version", "Version of this format.", Shape::Integer(1, 1)),
            key(
                "include",
                "Files that belong to this one.",
                Shape::List(Box::new(file), true),
            ),
            key("server", "The process as a whole.", Server::shape()),
            key(
                "listeners",
                "Where clients connect.",
                map("listener", super::listener::Table::shape()),
            ),
            key(
                "admin",
                "Administration: API, probes, metrics.",
                Admin::shape(),
            ),
            key(
                "services",
                "Upstreams.",
                map("service", super::service::Table::shape()),
            ),
            key("coloring", "How requests carry colors.", Coloring::shape()),
            key(
                "colors",
                "Colors.",
                map("color", super::color::Table::shape()),
            ),
            key(
                "rollouts",
                "Shares that move by themselves.",
                later("color", policy::Rollout::shape()),
            ),
            key(
                "jwt",
                "Token providers.",
                later("provider", policy::Jwt::shape()),
            ),
            key(
                "limits",
                "Rate limits.",
                later("limit", policy::Limit::shape()),
            ),
            key(
                "breakers",
                "Circuit breakers.",
                later("breaker", policy::Breaker::shape()),
            ),
            key(
                "plugins",
                "Plugins.",
                later("plugin", policy::Plugin::shape()),
            ),
            key(
                "routes",
                "Routes.",
                map("route", super::route::Table::shape()),
            ),
            key(
                "telemetry",
                "What is written about traffic.",
                Telemetry::shape(),
            ),
            key(
                "tests",
                "Requests and what must become of them.",
                Shape::List(Box::new(Test::shape()), false),
            ),
        ],
    }
}
