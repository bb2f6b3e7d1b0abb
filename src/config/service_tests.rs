//! What a service's keys come to where one of them is not said.

use super::Timeouts;
use std::time::Duration;

#[test]
fn silence_may_last_as_long_as_the_whole_unless_somebody_says_otherwise() {
    let seconds = |limit: u64| Some(Duration::from_secs(limit));
    let timeouts = |request, idle| Timeouts {
        request,
        idle,
        ..Timeouts::NONE
    };
    for (own, wider, silence) in [
        (timeouts(None, None), timeouts(None, None), 60),
        (timeouts(seconds(3), None), timeouts(None, None), 60),
        (timeouts(seconds(300), None), timeouts(None, None), 300),
        (timeouts(None, None), timeouts(seconds(300), None), 300),
        (timeouts(seconds(300), None), timeouts(None, seconds(5)), 5),
        (timeouts(None, seconds(7)), timeouts(None, seconds(5)), 7),
    ] {
        assert_eq!(own.or(wider).silence(), Duration::from_secs(silence));
    }
}
