//! How many requests a second: of an address that nobody vouches for, of an account, of a namespace.
//!
//! The narrow limits are asked first, so that one client never uses up what its namespace has for all.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use micro_api::{Error, Namespace};
use micro_auth::{Identity, Remaining, RetryAfter, TokenBuckets};

use crate::config::Config;
use crate::place::GATEWAY;
use crate::quota::Exceeded;
use crate::respond::Refusal;
use crate::tenant::Tenant;

/// Structured fields of draft-ietf-httpapi-ratelimit-headers: the limits there are, and how much of one is left.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// So many requests a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u32,
    /// At least `per_second` counts.
    pub burst: u32,
}

impl Rate {
    /// `per_second` requests a second, `burst` at once.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }

    fn quota(self) -> micro_auth::Quota {
        micro_auth::Quota::per_second(self.per_second, self.burst())
    }

    fn burst(self) -> u32 {
        self.burst.max(self.per_second).max(1)
    }

    /// Seconds in which the whole burst comes again.
    fn window(self) -> u32 {
        self.burst().div_ceil(self.per_second.max(1))
    }
}

/// A limit's names: as the header fields have it, and as errors and plans do.
#[derive(Debug, Clone, Copy)]
struct Limit {
    policy: &'static str,
    name: &'static str,
}

const ADDRESS: Limit = Limit { policy: "address", name: "address" };
const CREDENTIALS: Limit = Limit { policy: "credentials", name: "credentials" };
const ACCOUNT: Limit = Limit { policy: "account", name: "account" };
const NAMESPACE: Limit = Limit { policy: "namespace", name: "requests_per_second" };

/// What is left of the tightest limit that a request met.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    limit: Limit,
    rate: Rate,
    remaining: Remaining,
}

impl Left {
    /// The tighter of two.
    pub(crate) fn tighter(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if other.remaining.remaining < one.remaining.remaining => Some(other),
            (one, other) => one.or(other),
        }
    }

    /// Tells the client, whatever a service said of it.
    pub(crate) fn tell(self, headers: &mut HeaderMap) {
        let (Remaining { remaining, reset, .. }, policy) = (self.remaining, self.limit.policy);
        insert(headers, POLICY, &policy_of(self.limit, self.rate));
        insert(headers, LEFT, &format!("\"{policy}\";r={remaining};t={}", seconds(reset)));
    }
}

/// All buckets of the gateway.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Requests that nobody vouches for.
    addresses: TokenBuckets<IpAddr>,
    /// Credentials that were no good.
    guesses: TokenBuckets<IpAddr>,
    accounts: TokenBuckets<String>,
    namespaces: TokenBuckets<Namespace>,
    address: Option<Rate>,
    guess: Option<Rate>,
    account: Option<Rate>,
}

impl Rates {
    pub(crate) fn new(config: &Config) -> Self {
        // Quotas are given with each request.
        let none = micro_auth::Quota::per_second(1, 1);
        Self {
            addresses: TokenBuckets::new(none, config.buckets_max),
            guesses: TokenBuckets::new(none, config.buckets_max),
            accounts: TokenBuckets::new(none, config.buckets_max),
            namespaces: TokenBuckets::new(none, config.buckets_max),
            address: config.rate_of_address,
            guess: config.rate_of_refused_credentials,
            account: config.rate_of_account,
        }
    }

    /// Counts a request without an account against its address. Programs on this machine are no strangers.
    pub(crate) fn anonymous(&self, address: IpAddr) -> Result<Option<Left>, Refusal> {
        let Some(rate) = self.address.filter(|_| !address.is_loopback()) else { return Ok(None) };
        let taken = self.addresses.take_of(&network(address), rate.quota(), Instant::now(), 1);
        left(ADDRESS, rate, taken, || {
            "requests without an account from your address: send them slower, or with a credential".to_owned()
        })
    }

    /// Whether the address may show another credential.
    pub(crate) fn may_guess(&self, address: IpAddr) -> Result<(), Refusal> {
        let Some(rate) = self.guess.filter(|_| !address.is_loopback()) else { return Ok(()) };
        // A token is looked for, not taken: only refused credentials cost one.
        match self.guesses.take_of(&network(address), rate.quota(), Instant::now(), 0) {
            Ok(Remaining { remaining: 1.., .. }) => Ok(()),
            Ok(_) | Err(_) => {
                let wait = RetryAfter(Duration::from_secs(1));
                left(CREDENTIALS, rate, Err(wait), || {
                    "refused credentials from your address: check the token, or run `micro login`".to_owned()
                })
                .map(drop)
            }
        }
    }

    /// The address has shown a credential that is no good.
    pub(crate) fn guessed(&self, address: IpAddr) {
        if let Some(rate) = self.guess.filter(|_| !address.is_loopback()) {
            let _ = self.guesses.take_of(&network(address), rate.quota(), Instant::now(), 1);
        }
    }

    /// Counts a request of an account, a key or a person.
    pub(crate) fn account(&self, identity: &Identity) -> Result<Option<Left>, Refusal> {
        let Some(rate) = self.account else { return Ok(None) };
        let key = format!("{}/{}", identity.namespace, identity.id);
        let taken = self.accounts.take_of(key.as_str(), rate.quota(), Instant::now(), 1);
        left(ACCOUNT, rate, taken, || format!("requests of the account `{}`: send them slower", identity.id))
    }

    /// Counts a request to a namespace against its plan.
    pub(crate) fn namespace(&self, namespace: &Namespace, tenant: &Tenant) -> Result<Option<Left>, Refusal> {
        let Some(per_second) = tenant.requests_per_second else { return Ok(None) };
        let rate = Rate::new(per_second, tenant.burst);
        let taken = self.namespaces.take_of(namespace, rate.quota(), Instant::now(), 1);
        left(NAMESPACE, rate, taken, || {
            format!(
                "requests to the namespace `{namespace}`: send them slower, or ask the operator for a larger plan"
            )
        })
    }
}

/// What remains, or 429 with the limit's name, value, reset and what to do.
fn left(
    limit: Limit,
    rate: Rate,
    taken: Result<Remaining, RetryAfter>,
    of: impl FnOnce() -> String,
) -> Result<Option<Left>, Refusal> {
    let wait = match taken {
        Ok(remaining) => return Ok(Some(Left { limit, rate, remaining })),
        Err(RetryAfter(wait)) => seconds(wait).max(1),
    };
    let (per_second, burst) = (rate.per_second, rate.burst());
    let detail = format!(
        "limit: {}: {per_second} a second and {burst} at once are allowed of {}; the next may come in {wait} s",
        limit.name,
        of()
    );
    let refusal = Refusal::from(Error::new(GATEWAY, 429, detail)).retry_after(wait);
    Err(with_fields(refusal, &policy_of(limit, rate), &format!("\"{}\";r=0;t={wait}", limit.policy)))
}

/// 429 for a budget that is used up.
pub(crate) fn exceeded(exceeded: &Exceeded, now_ms: i64) -> Refusal {
    let Exceeded { limit, max, resets_ms, .. } = exceeded;
    let wait =
        resets_ms.map(|at| u64::try_from(at.saturating_sub(now_ms)).unwrap_or(0).div_ceil(1000).max(1));
    let mut refusal = Refusal::from(exceeded.error());
    let left = match wait {
        Some(wait) => {
            refusal = refusal.retry_after(wait);
            format!("\"{limit}\";r=0;t={wait}")
        }
        None => format!("\"{limit}\";r=0"),
    };
    with_fields(refusal, &format!("\"{limit}\";q={max}"), &left)
}

fn policy_of(limit: Limit, rate: Rate) -> String {
    format!("\"{}\";q={};w={}", limit.policy, rate.burst(), rate.window())
}

fn with_fields(refusal: Refusal, policy: &str, left: &str) -> Refusal {
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"));
    refusal.header(POLICY, value(policy)).header(LEFT, value(left))
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// Whole seconds, rounded up: who waits so long is not too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// What one subscriber holds: an address, or in IPv6 all that begin with the same 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        Rates::new(&Config {
            rate_of_address: Some(Rate::new(1, 3)),
            rate_of_refused_credentials: Some(Rate::new(1, 2)),
            ..Config::default()
        })
    }

    #[test]
    fn an_address_has_its_own_bucket_and_an_ipv6_network_one() {
        let rates = rates();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for last in 1..=3 {
            assert!(rates.anonymous(address(&format!("2001:db8::{last}"))).is_ok());
        }
        let refused = rates.anonymous(address("2001:db8::ffff")).unwrap_err();
        assert_eq!(refused.error.code, 429);
        let wanted = "limit: address: 1 a second and 3 at once are allowed of requests without an account";
        assert!(refused.error.detail.starts_with(wanted), "{}", refused.error.detail);
        let answer = refused.into_response();
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(header("retry-after"), "1");
        assert_eq!(header("ratelimit-policy"), "\"address\";q=3;w=3");
        assert_eq!(header("ratelimit"), "\"address\";r=0;t=1");
        assert!(rates.anonymous(address("2001:db8:0:1::1")).is_ok(), "another network");
        for _ in 0..10 {
            assert!(rates.anonymous(address("127.0.0.1")).unwrap().is_none(), "a program on this machine");
        }
    }

    #[test]
    fn refused_credentials_use_up_their_own_bucket() {
        let (rates, address) = (rates(), "192.0.2.1".parse().unwrap());
        for _ in 0..20 {
            assert!(rates.may_guess(address).is_ok(), "good ones cost nothing");
        }
        rates.guessed(address);
        assert!(rates.may_guess(address).is_ok());
        rates.guessed(address);
        assert!(rates.may_guess(address).unwrap_err().error.detail.contains("limit: credentials"));
        assert!(rates.anonymous(address).is_ok());
    }

    #[test]
    fn the_tightest_limit_is_told() {
        let rates = rates();
        let tenant = Tenant { requests_per_second: Some(100), burst: 200, ..Tenant::default() };
        let namespace = rates.namespace(&Namespace::default(), &tenant).unwrap();
        let address = rates.anonymous("192.0.2.1".parse().unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        Left::tighter(namespace, None).unwrap().tell(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"namespace\";q=200;w=2");
        assert_eq!(headers["ratelimit"], "\"namespace\";r=199;t=1");
        for (one, other) in [(namespace, address), (address, namespace), (None, address)] {
            Left::tighter(one, other).unwrap().tell(&mut headers);
            assert_eq!(headers["ratelimit"], "\"address\";r=2;t=1");
        }
    }

    #[test]
    fn a_used_up_budget_says_until_when() {
        let mut budget = Exceeded {
            limit: "requests_per_month",
            max: 10_000,
            resets_ms: Some(1_764_547_200_000),
            what_to_do: "ask the operator for a larger plan".to_owned(),
        };
        let refused = exceeded(&budget, 1_764_547_190_500);
        assert_eq!(
            refused.error.detail,
            "limit: requests_per_month: the 10000 of the namespace's plan are used up until 2025-12-01T00:00:00Z: \
             ask the operator for a larger plan"
        );
        let answer = refused.into_response();
        assert_eq!(answer.headers()["retry-after"], "10");
        assert_eq!(answer.headers()["ratelimit"], "\"requests_per_month\";r=0;t=10");
        assert_eq!(answer.headers()["ratelimit-policy"], "\"requests_per_month\";q=10000");
        budget.resets_ms = None;
        assert!(!exceeded(&budget, 0).into_response().headers().contains_key("retry-after"));
    }
}
