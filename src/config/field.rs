//! What can be told of one exchange: the closed vocabulary of access-log fields, which the tap and
//! its filters share.

use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use super::values::not_a_word;

macro_rules! fields {
    ($($(#[doc = $doc:literal])* $name:literal => $Variant:ident $by_default:ident,)*) => {
        /// One thing to tell of an exchange.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field { $($(#[doc = $doc])* $Variant,)* }

        impl Field {
            /// Every field, in the order of a line.
            pub const ALL: &[Self] = &[$(Self::$Variant,)*];

            /// As it is written in lines and in the configuration.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name,)* }
            }

            /// What stands before its value in an object of JSON.
            pub const fn head(self) -> &'static Head {
                match self { $(Self::$Variant => const { &Head::new(concat!(",\"", $name, "\":\"")) },)* }
            }

            /// Whether a line has it when nobody chooses.
            pub const fn is_usual(self) -> bool {
                match self { $(Self::$Variant => fields!(@usual $by_default),)* }
            }
        }
    };
    (@usual usual) => { true };
    (@usual extra) => { false };
}

fields! {
    /// When the exchange ended.
    "time" => Time usual,
    /// The status the client got.
    "status" => Status usual,
    /// How a call of gRPC has ended, as its client was told: the number of the status.
    "grpc_status" => GrpcStatus usual,
    "method" => Method usual,
    "host" => Host usual,
    /// In normal form, without the query.
    "path" => Path usual,
    /// Values whose names sound secret are masked.
    "query" => Query extra,
    "protocol" => Protocol extra,
    /// `https` or `http`, as the client came.
    "scheme" => Scheme extra,
    /// The rightmost address that nobody trusted vouches for.
    "client" => Client usual,
    "user_agent" => UserAgent extra,
    "referer" => Referer extra,
    "listener" => Listener usual,
    /// Who the client is by its certificate.
    "client_cert" => ClientCert usual,
    "generation" => Generation usual,
    "route" => Route usual,
    /// What the provider of the token or key says to log; one field each.
    "claims" => Claims usual,
    "service" => Service usual,
    "version" => Version usual,
    "endpoint" => Endpoint usual,
    "tries" => Tries usual,
    "color_requested" => ColorRequested usual,
    "color_served" => ColorServed usual,
    "color_reason" => ColorReason usual,
    /// Why it was refused, if it was.
    "reason" => Reason usual,
    "detail" => Detail usual,
    "request_id" => RequestId usual,
    "trace_id" => TraceId usual,
    "bytes_in" => BytesIn usual,
    "bytes_out" => BytesOut usual,
    /// From the head of the request to the end of the answer.
    "duration_ms" => Duration usual,
    /// Of that, spent waiting for upstreams.
    "upstream_ms" => Upstream usual,
    /// Of that, the gateway's own share.
    "gateway_ms" => Gateway extra,
}

/// A comma, a field's name, a colon and a quote. They are copied with the room behind them, which what
/// comes next goes over: finding out how long they are would cost more.
#[derive(Debug)]
pub struct Head {
    pub bytes: [u8; HEAD_MAX],
    pub length: usize,
}

/// Longest of them, in bytes.
const HEAD_MAX: usize = 24;

impl Head {
    /// A longer one does not compile.
    const fn new(text: &str) -> Self {
        let mut bytes = [0; HEAD_MAX];
        let (room, _) = bytes.split_at_mut(text.len());
        room.copy_from_slice(text.as_bytes());
        let length = text.len();
        Self { bytes, length }
    }
}

impl Field {
    /// The field of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

impl Read for Field {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let text = String::read(node, cx)?;
        let found = Self::named(&text);
        if found.is_none() {
            let names: Vec<&str> = Self::ALL.iter().map(|field| field.name()).collect();
            not_a_word(node, cx, &text, &names);
        }
        found
    }

    fn shape() -> Shape {
        Shape::Words(Self::ALL.iter().map(|field| field.name()).collect())
    }
}
