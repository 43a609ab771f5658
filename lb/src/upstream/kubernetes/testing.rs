//! Services whose pods are known without anybody being asked.

use super::Service;
use super::slices::{Counts, Merged, Pod};
use crate::upstream::Tier;

/// Gives a Service these pods, as `IP:PORT TIER` separated by commas.
pub(in crate::upstream) fn list(service: &Service, pods: &str) {
    let pod = |text: &str| {
        let (address, tier) = text.trim().split_once(' ').unwrap_or((text.trim(), "first"));
        let tier = match tier {
            "first" => Tier::First,
            "other" => Tier::OtherZone,
            "leaving" => Tier::Leaving,
            _ => panic!("no tier of pods: {tier}"),
        };
        Pod { address: address.parse().unwrap(), tier }
    };
    let pods = pods.split(',').filter(|text| !text.trim().is_empty()).map(pod).collect();
    service.take_in(Merged { pods, counts: Counts::default(), problem: None, remark: None });
}
