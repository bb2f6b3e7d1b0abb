//! The whole format as one shape, for the schema and the reference.

use crate::config::admin::Admin;
use crate::config::color::Coloring;
use crate::config::reader::Read;
use crate::config::server::Server;
use crate::config::shape::{KeyShape, Shape, TableShape};
use crate::config::telemetry::Telemetry;
use crate::config::test::Test;

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
                map("listener", crate::config::listener::Table::shape()),
            ),
            key(
                "admin",
                "Administration: API, probes, metrics.",
                Admin::shape(),
            ),
            key(
                "discovery",
                "Registries that endpoints are discovered in.",
                map(
                    "registry",
                    crate::config::discovery::DiscoveryTable::shape(),
                ),
            ),
            key(
                "services",
                "Upstreams.",
                map("service", crate::config::service::Table::shape()),
            ),
            key("coloring", "How requests carry colors.", Coloring::shape()),
            key(
                "colors",
                "Colors.",
                map("color", crate::config::color::Table::shape()),
            ),
            key(
                "rollouts",
                "Shares that move by themselves.",
                map("color", crate::config::rollout::Table::shape()),
            ),
            key(
                "jwt",
                "Token providers.",
                map("provider", crate::config::jwt::Table::shape()),
            ),
            key(
                "api_keys",
                "Keys that name a consumer.",
                map("provider", crate::config::auth::ApiKeysTable::shape()),
            ),
            key(
                "forward_auth",
                "Services that are asked about each request.",
                map("provider", crate::config::auth::ForwardAuthTable::shape()),
            ),
            key(
                "limits",
                "Rate limits.",
                map("limit", crate::config::limit::Table::shape()),
            ),
            key(
                "breakers",
                "Circuit breakers.",
                map("breaker", crate::config::breaker::Table::shape()),
            ),
            key(
                "plugins",
                "Plugins.",
                map("plugin", crate::config::plugin::Table::shape()),
            ),
            key(
                "routes",
                "Routes.",
                map("route", crate::config::route::Table::shape()),
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
