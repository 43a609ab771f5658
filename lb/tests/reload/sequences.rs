//! Configurations by chance, one after the other: a process that has seen them all
//! behaves as one that was started with the last.

use crate::scene::{ANY_PORT, SECURE, Yaml, origin, start};
use crate::support::{Client, Lb, Origin};

const SEQUENCES: u64 = 4;
const LENGTH: usize = 12;

const LISTENERS: [&str; 3] = ["a", "b", "c"];
const HOSTS: [&str; 3] = ["*", "one.test", "*.two.test"];
const ASKED: [&str; 4] = ["one.test", "x.two.test", "two.test", "elsewhere.test"];
const PATHS: [&str; 4] = ["/", "/p", "/p/q", "/r"];

fn by_chance(random: &mut fastrand::Rng, origins: &[Origin; 3]) -> Yaml {
    let mut yaml = Yaml::default();
    yaml.top("admin", r#"{ address: "127.0.0.1:0" }"#);
    let drain = random.u32(1..100);
    yaml.top("shutdown", &format!("{{ drain_timeout: {drain}ms }}"));
    // One is always there.
    for (index, name) in LISTENERS.into_iter().enumerate() {
        if index > 0 && random.bool() {
            continue;
        }
        let mut keys = if random.bool() { SECURE } else { ANY_PORT }.to_owned();
        if random.bool() {
            keys += &format!(
                ", response_headers: {{ set: {{ X-Listener: \"{}\" }} }}",
                random.u32(..100)
            );
        }
        if random.u8(..4) == 0 {
            keys += ", engine: pingora";
        }
        yaml.listener(name, &keys);
    }
    for name in ["u", "v"] {
        let origin = random.usize(..origins.len());
        let balance = ["least_connections", "round_robin", "ip_hash", "random"];
        let more = format!("balance: {}", balance[random.usize(..balance.len())]);
        yaml.upstream_with(name, &[origins[origin].address], &more);
    }
    for host in HOSTS {
        if random.u8(..3) == 0 {
            continue;
        }
        for path in PATHS {
            let what = match random.u8(..5) {
                0 => continue,
                1 => "redirect: { host: away.test, status: 307 }".to_owned(),
                2 => format!(
                    "upstream: u, response_headers: {{ set: {{ X-Route: \"{}\" }} }}",
                    random.u32(..100)
                ),
                3 => "upstream: v, limits: { body: 1B }, timeouts: { read: 9s }".to_owned(),
                _ => "upstream: v".to_owned(),
            };
            let kind = if random.bool() { "path" } else { "path_prefix" };
            yaml.route(host, &format!("match: {{ {kind}: {path} }}, {what}"));
        }
    }
    if yaml.hosts.is_empty() {
        yaml.route("*", "match: { path_prefix: / }, upstream: u");
    }
    yaml
}

/// How it answers to everything that is asked.
async fn answers(lb: &Lb, yaml: &Yaml) -> Vec<String> {
    let listeners = Listeners::of(lb);
    let mut all = Vec::new();
    for (name, keys) in &yaml.listeners {
        let secure = keys.contains("tls:");
        let client = if secure { lb.client() } else { Client::plain() };
        let scheme = if secure { "https" } else { "http" };
        let address = listeners.get(name);
        // The certificate's name; the Host is what is asked for.
        let by = if secure { "api.test" } else { "plain.test" };
        for host in ASKED {
            for path in PATHS {
                let url = format!("{scheme}://{by}:{}{path}", address.port());
                let request = client.0.post(&url).header("host", host).body("xx");
                // HTTP/2 would ask for the URL's authority.
                let request = request.version(reqwest::Version::HTTP_11);
                let response =
                    request.send().await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
                let field = |field: &str| {
                    let value = response.headers().get(field);
                    value.map_or("", |value| value.to_str().unwrap()).to_owned()
                };
                let fields = ["x-listener", "x-route", "proxy-status", "location"].map(field);
                // Ports are the system's choice.
                let fields = fields.map(|text| text.replace(&format!(":{}", address.port()), ""));
                let status = response.status().as_u16();
                let body = response.text().await.unwrap();
                let body = body.split("\nrequest: ").next().unwrap();
                all.push(format!("{name} {host} {path}: {status} {fields:?} {body}"));
            }
        }
    }
    all
}

/// Where listeners are, by what the log says.
struct Listeners(String);

impl Listeners {
    fn of(lb: &Lb) -> Self {
        Self(lb.log())
    }

    fn get(&self, name: &str) -> std::net::SocketAddr {
        let said = format!("listening listener={name} address=");
        let line = self.0.lines().rfind(|line| line.contains(&said)).unwrap();
        line.rsplit('=').next().unwrap().trim().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_as_if_it_had_only_seen_the_last() {
    let origins = [origin("one").await.0, origin("two").await.0, origin("three").await.0];
    for sequence in 0..SEQUENCES {
        let seed = std::env::var("LB_SEED")
            .map_or_else(|_| fastrand::u64(..), |seed| seed.parse::<u64>().unwrap() + sequence);
        println!("LB_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut yaml = by_chance(&mut random, &origins);
        let lb = start(&yaml).await;
        for _ in 0..LENGTH {
            let next = by_chance(&mut random, &origins);
            if random.u8(..4) == 0 {
                let broken = next.to_string().replace("upstream: v", "upstream: w");
                if broken.contains("upstream: w") {
                    lb.reload_fails(&broken).await;
                    continue;
                }
            }
            lb.reload(&next.to_string()).await;
            yaml = next;
        }
        let fresh = start(&yaml).await;
        let count = yaml.listeners.len();
        let seen = answers(&lb, &yaml).await;
        let expected = answers(&fresh, &yaml).await;
        assert_eq!(seen.len(), count * ASKED.len() * PATHS.len());
        assert_eq!(seen, expected, "seed {seed}\n{yaml}");
    }
}
