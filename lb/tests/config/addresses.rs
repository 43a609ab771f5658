//! Texts that are addresses or names of hosts.

use crate::support::{Place, problems_of};

#[test]
fn ranges_of_addresses() {
    problems_of(
        Place::Top,
        &[(
            "client_ip: { trusted_proxies: [10.0.0.1/8, 10.0.0.0/33, example.com] }",
            &[
                r#"10:32: client_ip.trusted_proxies[0]: "10.0.0.1/8" has bits set beyond its prefix; did you mean "10.0.0.0/8"?"#,
                r#"10:44: client_ip.trusted_proxies[1]: "10.0.0.0/33" is not a range of addresses; write CIDR notation such as 10.0.0.0/8 or fd00::/8"#,
                r#"10:57: client_ip.trusted_proxies[2]: "example.com" is not a range of addresses; write CIDR notation such as 10.0.0.0/8 or fd00::/8"#,
            ],
        )],
    );
}

#[test]
fn hosts() {
    problems_of(
        Place::Host,
        &[
            (
                r#"hosts: ["_"]"#,
                &[r#"7:13: virtual_hosts[0].hosts[0]: "_" is no host name; did you mean "*"?"#],
            ),
            (
                r#"hosts: ["api.example.com:443"]"#,
                &[
                    r#"7:13: virtual_hosts[0].hosts[0]: "api.example.com:443" is not a host name: write it without scheme and port; the listener has the port"#,
                ],
            ),
            (
                r#"hosts: ["https://api.example.com"]"#,
                &[
                    r#"7:13: virtual_hosts[0].hosts[0]: "https://api.example.com" is not a host name: write it without scheme and port; the listener has the port"#,
                ],
            ),
            (
                r#"hosts: ["*example.com"]"#,
                &[
                    r#"7:13: virtual_hosts[0].hosts[0]: "*example.com" is not a host name: "*" may only stand alone or as the whole first label, as in "*.example.com""#,
                ],
            ),
            (
                r#"hosts: ["bücher.example"]"#,
                &[
                    r#"7:13: virtual_hosts[0].hosts[0]: "bücher.example" is not a host name: labels are letters, digits and hyphens; write other scripts in their xn-- form"#,
                ],
            ),
            (
                "hosts: [a..b]",
                &[
                    r#"7:13: virtual_hosts[0].hosts[0]: "a..b" is not a host name: labels are letters, digits and hyphens; write other scripts in their xn-- form"#,
                ],
            ),
        ],
    );
}

#[test]
fn addresses_to_bind() {
    problems_of(
        Place::Listener,
        &[
            (
                r#"bind: ["80"]"#,
                &[
                    r#"3:18: listeners.http.bind[0]: "80" is not an address to bind; write 0.0.0.0:80, [::]:80 or unix:/run/lb.sock"#,
                ],
            ),
            (
                "bind: [80]",
                &[
                    r#"3:18: listeners.http.bind[0]: "80" is not an address to bind; write 0.0.0.0:80, [::]:80 or unix:/run/lb.sock"#,
                ],
            ),
            (
                r#"bind: ["*:80"]"#,
                &[
                    r#"3:18: listeners.http.bind[0]: "*:80" is not an address to bind; write 0.0.0.0:80, [::]:80 or unix:/run/lb.sock"#,
                ],
            ),
            (
                r#"bind: ["localhost:80"]"#,
                &[
                    r#"3:18: listeners.http.bind[0]: "localhost:80" is not an address to bind; write 0.0.0.0:80, [::]:80 or unix:/run/lb.sock"#,
                ],
            ),
            (
                r#"bind: ["unix:lb.sock"]"#,
                &[
                    r#"3:18: listeners.http.bind[0]: "unix:lb.sock": the path of a Unix socket must be absolute"#,
                ],
            ),
            (
                r#"bind: ["0.0.0.0:99999"]"#,
                &[
                    r#"3:18: listeners.http.bind[0]: "0.0.0.0:99999" is not an address to bind; write 0.0.0.0:80, [::]:80 or unix:/run/lb.sock"#,
                ],
            ),
        ],
    );
}

#[test]
fn the_status_address() {
    problems_of(
        Place::Top,
        &[
            (
                r#"status: { address: "unix:/run/lb.sock" }"#,
                &[
                    r#"10:20: status.address: "unix:/run/lb.sock" is not IP:PORT; write 127.0.0.1:9900 or [::1]:9900"#,
                ],
            ),
            (
                r#"status: { address: "localhost:9900" }"#,
                &[
                    r#"10:20: status.address: "localhost:9900" is not IP:PORT; write 127.0.0.1:9900 or [::1]:9900"#,
                ],
            ),
            (
                r#"status: { address: "9900" }"#,
                &[
                    r#"10:20: status.address: "9900" is not IP:PORT; write 127.0.0.1:9900 or [::1]:9900"#,
                ],
            ),
        ],
    );
}

#[test]
fn endpoints() {
    problems_of(
        Place::Upstream,
        &[
            (
                "endpoints: [{ address: backend-1 }]",
                &[
                    r#"5:33: upstreams.api.endpoints[0].address: "backend-1" is not an endpoint; write backend-1:8000, 10.0.0.5:8000, [fd00::5]:8000 or unix:/run/app.sock"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "backend-1:0" }]"#,
                &[
                    r#"5:33: upstreams.api.endpoints[0].address: "backend-1:0" is not an endpoint; write backend-1:8000, 10.0.0.5:8000, [fd00::5]:8000 or unix:/run/app.sock"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "http://backend-1:8000" }]"#,
                &[
                    r#"5:33: upstreams.api.endpoints[0].address: "http://backend-1:8000" is not an endpoint; write it without the scheme, which is the upstream's "protocol""#,
                ],
            ),
            (
                r#"endpoints: [{ address: "backend_1:http" }]"#,
                &[
                    r#"5:33: upstreams.api.endpoints[0].address: "backend_1:http" is not an endpoint; write backend-1:8000, 10.0.0.5:8000, [fd00::5]:8000 or unix:/run/app.sock"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "unix:app.sock" }]"#,
                &[
                    r#"5:33: upstreams.api.endpoints[0].address: "unix:app.sock": the path of a Unix socket must be absolute"#,
                ],
            ),
        ],
    );
}

#[test]
fn dns_servers() {
    problems_of(
        Place::Top,
        &[
            (
                r#"dns: { servers: ["dns.example.com", "10.0.0.2:0"] }"#,
                &[
                    r#"10:18: dns.servers[0]: "dns.example.com" is not a DNS server; write its address, as 10.0.0.2, 10.0.0.2:53 or [fd00::2]:53"#,
                    r#"10:37: dns.servers[1]: "10.0.0.2:0" is not a DNS server; write its address, as 10.0.0.2, 10.0.0.2:53 or [fd00::2]:53"#,
                ],
            ),
            (
                "dns: { servers: [] }",
                &[
                    "10:8: dns.servers: name at least one server, or leave the key out for those of /etc/resolv.conf",
                ],
            ),
            (
                "dns: { timeout: 0s }",
                &["10:17: dns.timeout: must be longer than 0s and at most 1m"],
            ),
            (
                "dns: { timeout: 61s }",
                &["10:17: dns.timeout: must be longer than 0s and at most 1m"],
            ),
        ],
    );
}
