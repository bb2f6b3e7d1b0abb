//! What a plugin of the Tyrian gateway is.
//!
//! The life of a plugin, in order:
//!
//! 1. its configuration is decoded into [`Plugin::Config`]; what does not fit is an error in the
//!    file, with its place;
//! 2. [`Plugin::new`] makes an instance. It may refuse, and has no effects: `tyrian check` does
//!    this too;
//! 3. [`Plugin::start`], when the generation goes live;
//! 4. the phases that [`Plugin::PHASES`] names, for each request of a route that lists the plugin;
//! 5. [`Plugin::stop`], after the last request of the generation.
//!
//! A hook answers with a [`Flow`]; it cannot write to the client by itself. A panic costs at most
//! this request, and takes the outcome that the file configures (`on_error`).

mod erased;
mod exchange;
pub mod testing;

pub use bytes;
pub use erased::{BadConfig, Factory, Instance};
pub use exchange::{
    Answer, Body, Change, Claims, Fields, Flow, Log, Request, Response, State, Then, Waiting,
};
pub use http;
pub use schemars;
pub use serde;
pub use serde_json;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// Behavior that routes can list. Everything but [`new`](Plugin::new) has a default that does
/// nothing.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// What stands in `config = { … }`. Say `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema;

    /// What stands in `use = "…"`.
    const NAME: &'static str;
    const VERSION: &'static str;
    /// One line for `tyrian plugin list`.
    const ABOUT: &'static str;
    /// The phases it wants; its other hooks are never called.
    const PHASES: Phases;
    /// Plugins that a route must list after this one, if it lists them.
    const BEFORE: &'static [&'static str] = &[];
    /// Plugins that a route must list before this one, if it lists them.
    const AFTER: &'static [&'static str] = &[];

    /// Makes an instance, without effects.
    ///
    /// # Errors
    /// What is wrong with the configuration, beyond its form.
    fn new(config: Self::Config) -> Result<Self, String>;

    /// The generation goes live.
    fn start(&self) {}

    /// The last request is over. Called once, and only after `start`.
    fn stop(&self) {}

    /// The route is known, but nobody has been asked who it is: no claims, no color.
    fn early(&self, _: &mut Request, _: &mut State) -> Flow {
        Flow::Continue
    }

    /// All policies have let the request pass.
    fn request_head(&self, _: &mut Request, _: &mut State) -> Flow {
        Flow::Continue
    }

    /// A chunk of the request's body; it may be held back, changed, or refused.
    fn request_body(&self, _: &mut Body, _: &mut State) -> Flow {
        Flow::Continue
    }

    /// The head of the answer, the upstream's or the gateway's own. The request can no longer be
    /// refused; anything but `Continue` counts as a failure.
    fn response_head(&self, _: &mut Response, _: &State) -> Flow {
        Flow::Continue
    }

    /// A chunk of the upstream's answer.
    fn response_body(&self, _: &mut Body, _: &mut State) -> Flow {
        Flow::Continue
    }

    /// The request is over.
    fn log(&self, _: &mut Log, _: &mut State) {}
}

/// A set of phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases(u8);

impl Phases {
    pub const EARLY: Self = Self(1);
    pub const REQUEST_HEAD: Self = Self(2);
    pub const REQUEST_BODY: Self = Self(4);
    pub const RESPONSE_HEAD: Self = Self(8);
    pub const RESPONSE_BODY: Self = Self(16);
    pub const LOG: Self = Self(32);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of all that are in it.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (Self::EARLY, "early"),
            (Self::REQUEST_HEAD, "request head"),
            (Self::REQUEST_BODY, "request body"),
            (Self::RESPONSE_HEAD, "response head"),
            (Self::RESPONSE_BODY, "response body"),
            (Self::LOG, "log"),
        ];
        let inside = all.into_iter().filter(|(phase, _)| self.has(*phase));
        inside.map(|(_, name)| name).collect()
    }
}

/// The guide: what it shows is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/plugins.md")]
pub struct Guide;
