//! What a node knows of the cluster: `CLUSTER NODES`, parsed.

use std::ops::RangeInclusive;

/// A node, as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) port: u16,
    pub(super) is_master: bool,
    pub(super) is_down: bool,
    pub(super) master: Option<String>,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

/// The members in an answer to `CLUSTER NODES`; lines that are none are left out.
pub(super) fn members(text: &str) -> Vec<Member> {
    text.lines().filter_map(member).collect()
}

/// `ID IP:PORT@BUS[,NAME] FLAGS MASTER PING PONG EPOCH LINK [SLOT|FIRST-LAST]...`
fn member(line: &str) -> Option<Member> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, address, flags, master, _, _, _, _, slots @ ..] = words.as_slice() else {
        return None;
    };
    let (_, port) = address.split('@').next()?.rsplit_once(':')?;
    let has = |flag: &str| flags.split(',').any(|one| one == flag);
    Some(Member {
        id: (*id).to_owned(),
        port: port.parse().ok()?,
        is_master: has("master"),
        is_down: has("fail") || has("fail?") || has("noaddr"),
        master: (*master != "-").then(|| (*master).to_owned()),
        slots: slots.iter().filter_map(|range| slot_range(range)).collect(),
    })
}

/// Slots on their way to another node stand in brackets and are no range.
fn slot_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_replicas_and_slots_are_read() {
        let members = members(
            "aa 127.0.0.1:17001@27001 myself,master - 0 0 1 connected 0-5460 5462 [93-<-bb]\n\
             bb 127.0.0.1:17004@27004,name slave,fail aa 0 1 1 disconnected\n\
             nonsense\n",
        );
        assert_eq!(members.len(), 2);
        assert!(members[0].is_master && !members[0].is_down);
        assert_eq!(members[0].slots, [0..=5460, 5462..=5462]);
        assert_eq!(
            (members[1].port, members[1].is_master, members[1].is_down),
            (17004, false, true)
        );
        assert_eq!(members[1].master.as_deref(), Some("aa"));
    }
}
