//! What was written, section by section, so that a reload can say what of it is
//! other than before.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::config::{Config, Upstream, VirtualHost};

/// A digest of each section, by what it is called.
type Sections = BTreeMap<String, u64>;

pub(super) fn sections(config: &Config) -> Sections {
    // Destructured so that a new section cannot be forgotten here.
    let Config {
        version: _,
        // A running process cannot change it, and says so.
        workers: _,
        max_connections,
        status,
        admin,
        reload,
        access_log,
        shutdown,
        dns,
        kubernetes,
        client_ip,
        defaults,
        listeners,
        upstreams,
        rate_limits,
        virtual_hosts,
    } = config;
    let mut sections = Sections::new();
    let singles: [(&str, &dyn Debug); 10] = [
        ("max_connections", max_connections),
        ("status", status),
        ("admin", admin),
        ("reload", reload),
        ("access_log", access_log),
        ("shutdown", shutdown),
        ("dns", dns),
        ("kubernetes", kubernetes),
        ("client_ip", client_ip),
        ("defaults", defaults),
    ];
    sections.extend(singles.map(|(name, section)| (name.to_owned(), digest(section))));
    for (name, listener) in listeners {
        sections.insert(format!("listener \"{name}\""), digest(listener));
    }
    for (name, upstream) in upstreams {
        let mut rest = upstream.clone();
        for endpoint in std::mem::take::<Vec<_>>(&mut rest.endpoints) {
            let name = format!("upstream \"{name}\": endpoint \"{}\"", endpoint.address);
            sections.insert(name, digest(&endpoint));
        }
        sections.insert(format!("upstream \"{name}\""), digest::<Upstream>(&rest));
    }
    for (name, limit) in rate_limits {
        sections.insert(format!("rate limit \"{name}\""), digest(limit));
    }
    for host in virtual_hosts {
        sections.insert(name_of(host), digest(host));
    }
    sections
}

/// Its names, and the listeners where it names them: there may be others of the
/// same names.
fn name_of(host: &VirtualHost) -> String {
    let names = host.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match &host.listeners {
        None => format!("virtual host \"{names}\""),
        Some(listeners) => format!("virtual host \"{names}\" on {}", listeners.join(" ")),
    }
}

fn digest<T: Debug + ?Sized>(section: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{section:?}").hash(&mut hasher);
    hasher.finish()
}
