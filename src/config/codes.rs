//! Every code of a diagnostic, with its long text.

/// A code and what there is to say about it.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    pub code: &'static str,
    pub title: &'static str,
    pub text: &'static str,
}

macro_rules! codes {
    ($($code:literal $title:literal $text:literal;)*) => {
        /// All codes, in order.
        pub const ALL: &[Code] = &[$(Code { code: $code, title: $title, text: $text },)*];
    };
}

codes! {
    "TY0001" "not TOML"
    "The file does not parse. The gateway reads TOML 1.1; stay within 1.0 for editors' sake.\n\nWrong:  bind = 127.0.0.1:8080\nRight:  bind = \"127.0.0.1:8080\"";
    "TY0101" "a name that is not defined"
    "Something refers to a service, version, route or policy that no file defines. Names are case-sensitive, and all included files share one namespace.\n\nWrong:  service = \"shpo\"\nRight:  service = \"shop\"";
    "TY0102" "a name defined twice"
    "All files share one namespace, so an entry may be defined in one file only. Both places are shown; rename or remove one.";
    "TY0201" "an unknown key"
    "A key that the format does not have would be ignored, so it is an error. The message lists the keys of the table, or the one that was probably meant.";
    "TY0202" "a value of the wrong kind"
    "A text where a number belongs, a table where a list belongs, and so on.";
    "TY0203" "a value that is not allowed"
    "The value is of the right kind, but outside what the key takes. The message says what it takes.";
    "TY0204" "a value without a good unit"
    "Durations, sizes, percentages and rates are texts with a unit: \"250ms\", \"64KiB\", \"5%\", \"100/s\". KB is 1000 bytes, KiB is 1024; K alone is refused, because people read it either way.\n\nWrong:  timeout = 250\nRight:  timeout = \"250ms\"";
    "TY0205" "something is missing"
    "A key without a sensible default was left out.";
    "TY0301" "two routes with the same claim"
    "Two routes match the same requests and neither comes before the other by the rules of precedence: priority, host, path, number of conditions. Choosing one would be a coin toss, so it is an error. Give one of them another condition, or a `priority`.";
    "TY0303" "a route with more than one target"
    "A route has exactly one of `service`, `respond` and `redirect`.";
    "TY0304" "a policy that cannot work"
    "The values are well-formed, but together they do nothing, or the opposite of what they promise: a limit that lets nobody pass, a breaker that can never open, public keys used as a shared secret. The message says which.";
    "TY0305" "two that want one address"
    "Only one can listen at an address and port, so the second would fail to start, and the process with it. An address without a host (`:8080`, `0.0.0.0:8080`) takes the port on all of the machine's addresses. It is a warning where the second is the admin API, and the file does not ask for one.";
    "TY0310" "a service that no route uses"
    "The service gets no requests. Remove it, or add the route that was forgotten.";
    "TY0311" "a route that can never match"
    "Another route comes first and takes every request that this one asks for. The help has such a request, for `tyrian explain`.";
    "TY0312" "a version without endpoints"
    "There is none, or all have the weight 0. Requests for this version fall back to the default one, or are refused with `no_healthy_endpoint`.";
    "TY0313" "a color that no request can have"
    "No `when` gives the color, it has no share, and no listener trusts anybody to carry it. Carried colors are believed only from `clients.trust`.";
    "TY0314" "no listener"
    "Without a listener nobody can connect.";
    "TY0315" "no route"
    "Without a route every request is refused with 404.";
    "TY0316" "something has expired, or soon will"
    "A route or color past its `expires` does nothing: requests are decided as if it were not there, and a request that still carries the color is served as if it had none. It is warned about from a week before. Remove it, or give it more time.";
    "TY0317" "a version that no request meets"
    "The version is not the default, and no color, split or breaker names it, so it gets no requests. Name it where it was meant, or remove it.";
    "TY0318" "a rule that comes too late"
    "Of rules with as many conditions, that of the color first by name counts. Another color asks for the same or for more values, so this rule never gives its color; the help has a request that shows it. Add a condition, or remove one of the two.";
    "TY0319" "an overlap that only precedence decides"
    "Two routes ask for some of the same requests in different ways: one by a more exact host, the other by a more exact path, or each by conditions of its own. The rule of precedence (priority, host, path, number of conditions) decides, which is well-defined but easily overlooked; the help has a request that meets both. If it goes where it should, nothing needs to be done; a `priority` says so for readers.";
    "TY0320" "a policy that nobody uses"
    "A limit, breaker, provider or plugin is defined, and no route or service names it. Remove it, or name it where it was meant.";
    "TY0321" "a claim that nobody tells"
    "A limit, a share, a hash or a color goes by a claim that its requests never have: their routes ask nobody for a token, or somebody who tells no such claim (keys tell `sub` only, a service that is asked tells none). So a limit has one bucket for all, and a share or hash goes by address. Add `auth`, or go by something else.";
    "TY0322" "a breaker that never sees a slow request"
    "The service's request timeout ends requests before they are slow by the breaker's measure. They count as timeouts; lower `slow` or raise the timeout.";
    "TY0323" "keys fetched without TLS"
    "Whoever can change the keys on their way can sign tokens. Use https.";
    "TY0324" "a mirror to something that is not defined"
    "No service, or no version of it, has this name, so copies go nowhere. The original requests are served all the same, which is why this is not an error.";
    "TY0325" "retries that defeat a limit"
    "A limit counts what clients send. When the service fails, its retries multiply that behind the limit, just when it can bear least. Lower `retry.budget`, which bounds the share of requests that are sent again, or `attempts`.";
    "TY0326" "a breaker that never sees enough requests"
    "Every route to the service has a limit for all of its clients together, and with all of them used up, fewer requests pass in the breaker's window than its `min_requests`. It never judges, so it never opens.";
    "TY0327" "a setting that is probably not meant"
    "The value is allowed, and switches off what it seems to ask for: an empty audience or guard that checks nothing, a rule without conditions that everybody meets, keys that are forgotten before they are renewed, a limit that is named twice and counts twice, copies of requests that are never sent. The message says which.";
    "TY0328" "a header that no client can send"
    "A provider forwards something about clients in this header, so it is taken off every request before anything looks at it; it is put on only on the way up. What goes by it sees nothing. Go by the claim itself: `jwt:CLAIM`.";
    "TY0329" "a provider that is never asked"
    "A route's providers are asked in their order, and a service that is asked (`forward_auth`) always has an answer: it lets the request pass or refuses it. Whoever stands behind it is never asked, and `optional` beside it means nothing. Put it last.";
    "TY0330" "a certificate that clients may refuse"
    "It has expired, is not valid yet, expires within a week, or its chain has a gap. It is shown all the same: renew the file, and the gateway takes the new one up by itself.";
    "TY0336" "a path that another parser reads differently"
    "Servers and frameworks disagree about `%2F`, `%5C`, `;parameters` and text that is encoded twice: `/admin%2Fx` is one segment here, and may be `/admin/x` to the service. Where such a path takes one route and its other reading would take another one with other policies, the request is refused with 400 `bad_request`. `ambiguous_paths = \"allow\"` on a route, or in `server`, lets it pass: safe where the service reads paths as the gateway does.";
    "TY0401" "a secret in the file"
    "Secrets are named by their place, never written down: { file = \"…\" }, { env = \"…\" } or { credential = \"…\" }.";
    "TY0402" "the admin API can be reached by others"
    "The API can change what the gateway does. It is protected by a token, but belongs on the loopback address. Probes and scrapes have a port of their own: `admin.metrics`.";
    "TY0403" "very wide trust"
    "Whoever is in `clients.trust` chooses the client address, the request id and the color of requests. Name the proxies in front of the gateway and nobody else.";
    "TY0404" "a network with too many bits"
    "The address of a network ends where its length says; what is written behind that does not count. `10.0.0.1/8` is all of `10.0.0.0/8`, and one address alone is `10.0.0.1`.";
    "TY0501" "an environment variable is not set"
    "A value needs a variable of the environment. Set it, or give a default: ${NAME:-value}.";
    "TY0502" "a file cannot be read"
    "The configuration, or a file that it includes, is missing or not readable.";
    "TY0503" "the configuration cannot be put to work"
    "The configuration is sound, but something it needs is not there: a log file that cannot be opened, for example.";
    "TY0504" "something a policy needs cannot be used"
    "A file of keys, a secret or a list that the configuration names is missing, unreadable or malformed. A configuration that needs it never goes live.";
    "TY0505" "a file that cannot be read anew"
    "A file of keys, a secret, a list or a certificate is missing, unreadable or malformed, and what the gateway has read of it before goes on: keys for as long as `max_stale` says, lists and certificates until the file is good again. Nothing else waits for it. A process that starts now would have nothing to go on with, and refuse.";
    "TY0506" "a line of a list that is odd"
    "The line of a list (revoked tokens, API keys) is not what the list consists of, so it is passed over, or is not taken literally. The other lines count. `#` begins a comment, at the beginning of a line or after white space.";
    "TY0507" "no key for an algorithm"
    "The file is sound, and holds no key for an algorithm that the provider accepts, so tokens of this algorithm are refused. Add a key for it, or take the algorithm out of `algorithms`.";
    "TY0508" "not available to a text from the API"
    "A text that is checked or applied through the API may use of the machine only what the live configuration uses, at the same key and in the same form: a variable in the same text, the same file, the same secret. At another key a value would be compared with what the caller wrote, and the answers would tell it letter by letter. Positions in an array do not count. With the token that may only look, values of variables change nothing in the answer: in `plugins.*.config`, `routes.*.respond.text`, `endpoints` and addresses to listen on, something else stands in for the text; at other keys a text with a variable cannot be judged. Change the file itself, and reload, or check it with `tyrian check`.";
    "TY0509" "a list of revoked tokens that was emptied"
    "The list had entries, and has none any more. It is sound, so it applies: every token that it revoked is accepted again until the token expires. If that was not meant, put the entries back; the gateway takes the file up by itself.";
    "TY0510" "the machine is too small, or its ports are taken"
    "Found by `check --online`: a listener's port cannot be bound, or fewer file descriptors are allowed than the connections of all listeners may need (one for the client, one for the upstream).";
    "TY0511" "an endpoint or collector that does not answer"
    "Found by `check --online`: the name does not resolve, or nobody accepts connections there, seen from this machine.";
    "TY0512" "an issuer that does not answer, or a clock that is off"
    "Found by `check --online`: keys cannot be fetched, so every token of this issuer would be refused; or the issuer's clock and ours disagree, so tokens seem expired or not yet valid.";
    "TY0513" "a file that is not as it should be"
    "Found by `check --online`: a token that others may read, or a log that has nowhere to go.";
    "TY0601" "a test of the configuration failed"
    "One of the file's own `[[tests]]` finds something else than it expects. A configuration whose tests fail never goes live.\n\nA test that names a route, service, version, color or upstream field fails when the request is refused, unless it names the `status` or the `reason` of the refusal as well. The help of a failed test is a command that explains its request.";
    "TY0901" "not supported yet"
    "The key belongs to the format, and its value has been checked, but this version of the gateway would not obey it. It is an error so that nobody relies on it.";
}

/// The long text of a code.
pub fn explain(code: &str) -> Option<String> {
    let found = ALL
        .iter()
        .find(|known| known.code.eq_ignore_ascii_case(code))?;
    Some(format!(
        "{}: {}\n\n{}\n",
        found.code, found.title, found.text
    ))
}
