//! Who is asked: the hosts file first, then DNS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::DnsSettings;
use super::answer::{Answer, Records};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// How long an entry of the hosts file is used before the file is looked at again.
const HOSTS_TTL: Duration = Duration::from_secs(10);

/// Look-ups at once. Each holds a socket or two, and thousands of names are looked up
/// together when we start.
const MOST_LOOK_UPS: usize = 64;

/// Whom the C library asks when `resolv.conf` names nobody.
const LOCAL_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

const NO_SUCH_NAME: &str = "there is no such name (NXDOMAIN)";
const NO_ADDRESS: &str = "it has no address";
const NO_ANSWER: &str = "no answer in time";

/// Looks names up, as the settings say.
#[derive(Debug)]
pub(in crate::upstream) struct Resolver {
    settings: DnsSettings,
    /// Read again when one of the system's files changes.
    client: Mutex<Option<(Stamps, Arc<Client>)>>,
    room: Semaphore,
}

/// When the system's files were changed, and how long they are.
type Stamps = [Option<(SystemTime, u64)>; 2];

/// A resolver with what it was made from.
struct Client {
    resolver: TokioResolver,
    hosts: Hosts,
    search: Vec<Name>,
    ndots: usize,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Resolver {
    pub(in crate::upstream) fn new(settings: DnsSettings) -> Self {
        Self { settings, client: Mutex::default(), room: Semaphore::new(MOST_LOOK_UPS) }
    }

    pub(in crate::upstream) fn settings(&self) -> &DnsSettings {
        &self.settings
    }

    /// Looks a name up once. Must be called inside a runtime.
    pub(in crate::upstream) async fn look_up(&self, name: &str) -> Answer {
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return Answer::failed(&error.to_string()),
        };
        let Ok(name) = Name::from_str_relaxed(name) else {
            return Answer::failed("DNS has no such names");
        };
        if let Some(answer) = client.in_hosts(&name) {
            return answer;
        }
        // Err: it is never closed.
        let _room = self.room.acquire().await;
        let deadline = Instant::now() + self.settings.timeout;
        let mut answer = Answer::failed(NO_ANSWER);
        for candidate in candidates(&name, &client.search, client.ndots) {
            let (v4, v6) = tokio::join!(
                client.ask(candidate.clone(), RecordType::A, deadline),
                client.ask(candidate, RecordType::AAAA, deadline),
            );
            answer = Answer { v4, v6 };
            // One that cannot be asked for ends the search too: the name might be
            // there, and another's addresses in its place would be wrong.
            let Answer { v4: Records::Missing(_), v6: Records::Missing(_) } = answer else { break };
        }
        answer
    }

    fn client(&self) -> Result<Arc<Client>, NetError> {
        let stamps = [RESOLV_CONF, HOSTS].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        });
        let mut client = self.client.lock();
        if let Some((known, client)) = &*client
            && *known == stamps
        {
            return Ok(Arc::clone(client));
        }
        let new = Arc::new(Client::new(&self.settings)?);
        *client = Some((stamps, Arc::clone(&new)));
        Ok(new)
    }
}

impl Client {
    fn new(settings: &DnsSettings) -> Result<Self, NetError> {
        let (config, mut options) = if settings.servers.is_empty() {
            system_conf::read_system_conf().unwrap_or_else(|error| {
                tracing::warn!(%error, file = RESOLV_CONF, "the resolver configuration cannot be used; asking {LOCAL_SERVER}");
                (servers(&[LOCAL_SERVER]), ResolverOpts::default())
            })
        } else {
            (servers(&settings.servers), ResolverOpts::default())
        };
        let search = match (&*config.search, &config.domain) {
            ([], Some(domain)) if !domain.is_root() => vec![domain.clone()],
            (search, _) => search.to_vec(),
        };
        let ndots = options.ndots;
        options.timeout = settings.timeout;
        options.attempts = 1;
        // When to ask again is ours to say.
        options.cache_size = 0;
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            tracing::warn!(%error, file = HOSTS, "the hosts file cannot be read");
            Hosts::default()
        });
        let provider = TokioRuntimeProvider::default();
        let config = ResolverConfig::from_name_servers(config.name_servers);
        let builder = TokioResolver::builder_with_config(config, provider).with_options(options);
        let mut resolver = builder.build()?;
        // They are looked into before, for both kinds of addresses at once.
        resolver.set_hosts(Arc::default());
        Ok(Self { resolver, hosts, search, ndots })
    }

    /// What the hosts file says, if it has the name: DNS is not asked then, not
    /// even for the other kind of address.
    fn in_hosts(&self, name: &Name) -> Option<Answer> {
        let look_up = |kind| match self.hosts.lookup_static_host(&Query::query(name.clone(), kind))
        {
            Some(lookup) => records(&lookup, Some(HOSTS_TTL)),
            None => Records::Missing(NO_ADDRESS),
        };
        let (v4, v6) = (look_up(RecordType::A), look_up(RecordType::AAAA));
        let is_there = matches!(v4, Records::Found(..)) || matches!(v6, Records::Found(..));
        is_there.then_some(Answer { v4, v6 })
    }

    async fn ask(&self, name: Name, kind: RecordType, deadline: Instant) -> Records {
        let result = match timeout_at(deadline, self.resolver.lookup(name, kind)).await {
            Ok(result) => result,
            Err(_) => return Records::Failed(NO_ANSWER.to_owned()),
        };
        match result {
            Ok(lookup) => records(&lookup, None),
            Err(error) if error.is_nx_domain() => Records::Missing(NO_SUCH_NAME),
            Err(error) if error.is_no_records_found() => Records::Missing(NO_ADDRESS),
            Err(NetError::Timeout) => Records::Failed(NO_ANSWER.to_owned()),
            Err(NetError::Dns(DnsError::ResponseCode(code))) => Records::Failed(refused(code)),
            Err(error) => Records::Failed(error.to_string()),
        }
    }
}

fn servers(addresses: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    ResolverConfig::from_name_servers(addresses.iter().map(server).collect())
}

fn refused(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "the server could not find out (SERVFAIL)".to_owned(),
        ResponseCode::Refused => "the server does not answer us (REFUSED)".to_owned(),
        other => format!("the server says: {other}"),
    }
}

/// The addresses in an answer, and how long all of it, aliases included, is valid.
fn records(lookup: &Lookup, ttl: Option<Duration>) -> Records {
    let answers = lookup.answers();
    let addresses: Vec<IpAddr> =
        answers.iter().filter_map(|record| record.data.ip_addr()).collect();
    if addresses.is_empty() {
        return Records::Missing(NO_ADDRESS);
    }
    let shortest = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
    Records::Found(addresses, ttl.unwrap_or(Duration::from_secs(u64::from(shortest))))
}

/// The full names that a name may stand for, in the order in which the C library
/// asks for them: one with fewer than `ndots` dots is looked for below the search
/// domains first.
fn candidates(name: &Name, search: &[Name], ndots: usize) -> Vec<Name> {
    let mut full = name.clone();
    full.set_fqdn(true);
    if full.is_localhost() {
        return vec![full];
    }
    let below = search.iter().filter_map(|domain| {
        let mut candidate = name.clone().append_domain(domain).ok()?;
        candidate.set_fqdn(true);
        Some(candidate)
    });
    let mut candidates: Vec<Name> = below.collect();
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let place = if dots >= ndots { 0 } else { candidates.len() };
    candidates.insert(place, full);
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_str_relaxed(text).unwrap()
    }

    #[test]
    fn short_names_are_looked_for_below_the_search_domains_first() {
        let search = [name("default.svc.cluster.local"), name("example.com.")];
        let full = |text: &str, ndots| {
            let names = candidates(&name(text), &search, ndots);
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            full("backend_1", 1),
            ["backend_1.default.svc.cluster.local.", "backend_1.example.com.", "backend_1."]
        );
        assert_eq!(
            full("api.test", 1),
            ["api.test.", "api.test.default.svc.cluster.local.", "api.test.example.com."]
        );
        assert_eq!(full("api.test", 5).last().unwrap(), "api.test.");
        assert_eq!(full("localhost", 1), ["localhost."]);
    }

    #[test]
    fn the_hosts_file_has_the_last_word() {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(&b"10.0.0.1 api.test\n10.0.0.2 Api.test other\n"[..]).unwrap();
        let settings = DnsSettings { servers: vec![LOCAL_SERVER], timeout: HOSTS_TTL };
        let client = Client { hosts, ..Client::new(&settings).unwrap() };
        let answer = client.in_hosts(&name("api.test")).unwrap();
        let both = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        assert_eq!(answer.v4, Records::Found(both.into(), HOSTS_TTL));
        assert_eq!(answer.v6, Records::Missing(NO_ADDRESS), "and DNS is not asked for it");
        assert!(client.in_hosts(&name("www.test")).is_none());
    }
}
