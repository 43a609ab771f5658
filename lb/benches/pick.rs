//! The cost of choosing an endpoint by how many there are: it must not grow with them.
//! `make bench-pick` prints time per lease.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lb::snapshot::{Registry, Snapshot};
use lb::upstream::{Placement, Tried};

const SIZES: [u32; 4] = [3, 50, 1_000, 10_000];

fn snapshot(balance: &str, count: u32) -> Snapshot {
    let endpoint = |n: u32| {
        let [_, b, c, d] = n.to_be_bytes();
        format!("{{ address: \"10.{b}.{c}.{d}:80\" }}")
    };
    let endpoints: Vec<String> = (1..=count).map(endpoint).collect();
    let yaml = format!(
        r#"
version: 1
listeners: {{ http: {{ bind: ["127.0.0.1:80"] }} }}
upstreams: {{ api: {{ balance: {balance}, endpoints: [{}] }} }}
virtual_hosts: [{{ hosts: ["*"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}]
"#,
        endpoints.join(", ")
    );
    let compiled =
        lb::compile::compile_text(&yaml, Path::new("."), &|_| None, &Registry::default());
    compiled.snapshot.expect("a sound configuration")
}

fn picks(criterion: &mut Criterion) {
    for balance in ["least_connections", "round_robin", "random", "ip_hash"] {
        let mut group = criterion.benchmark_group(balance);
        group
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2))
            .sample_size(30);
        for count in SIZES {
            let snapshot = snapshot(balance, count);
            let (upstream, now) = (&snapshot.upstreams[0], Instant::now());
            let (mut random, tried) = (1u64, Tried::default());
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| {
                    // As good as by chance, and the same each time.
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let placement = Placement { random, key: random.rotate_left(32), now };
                    black_box(upstream.lease(placement, &tried)).is_ok()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, picks);
criterion_main!(benches);
