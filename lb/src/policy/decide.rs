//! The decision function.

use http::StatusCode;

use super::conditions::Candidates;
use super::head::{Client, HeaderFields, RequestHead};
use super::key::{Key, key_of};
use super::table::{Charge, HostId, RouteAction, RouteId, Table, UpstreamId};
use crate::response::Cause;

/// What happens to a request, and by which host and route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The virtual host that its name belongs to.
    pub host: Option<HostId>,
    /// The route that takes it.
    pub route: Option<RouteId>,
    /// The route that the path's other reading belongs to, when that differs:
    /// its limits are charged as well.
    pub also_charged: Option<RouteId>,
    /// What to do.
    pub action: Action,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Hand it to this upstream, as the route's [`Forward`](super::Forward) says.
    Forward(UpstreamId),
    /// Answer with a redirect.
    Redirect {
        /// Its status.
        status: StatusCode,
        /// The absolute URL.
        location: String,
    },
    /// Answer with an error.
    Reject(Cause),
}

/// Decides what happens to a request. Pure; its cost grows with the length of
/// the request, not with the number of hosts or routes.
pub fn decide<H: HeaderFields + ?Sized>(
    table: &Table,
    head: &RequestHead<'_, H>,
    client: &Client,
) -> Verdict {
    let mut verdict = Verdict {
        host: None,
        route: None,
        also_charged: None,
        action: Action::Reject(Cause::InternalError),
    };
    let Some(hosts) = table.listeners.get(client.listener.0 as usize) else { return verdict };
    let Some(host) = hosts.find(head.host) else {
        verdict.action =
            Action::Reject(if client.tls { Cause::MisdirectedRequest } else { Cause::UnknownHost });
        return verdict;
    };
    verdict.host = Some(host);

    let paths = table.paths(host);
    let best = |candidates: &Candidates| candidates.best(&table.routes, head);
    verdict.route = paths.find(head.path, best);
    let also = head.alternative_path.and_then(|path| paths.find(path, best));
    verdict.also_charged = also.filter(|also| Some(*also) != verdict.route);

    verdict.action = match verdict.route.map(|route| &table.route(route).action) {
        None => Action::Reject(Cause::NoRoute),
        Some(RouteAction::Forward(forward)) => Action::Forward(forward.upstream),
        Some(RouteAction::Redirect(redirect)) => match redirect.location(head, client) {
            Some(location) => Action::Redirect { status: redirect.status, location },
            None => Action::Reject(Cause::MissingHost),
        },
    };
    verdict
}

impl Verdict {
    /// The buckets to charge and the key in each. No bucket is charged twice
    /// for one request.
    pub fn charges<'t, H: HeaderFields + ?Sized>(
        &self,
        table: &'t Table,
        head: &RequestHead<'_, H>,
        client: &Client,
    ) -> impl Iterator<Item = (&'t Charge, Key)> {
        let charges =
            |route: Option<RouteId>| route.map_or(&[][..], |route| &table.route(route).charges);
        let own = charges(self.route);
        let also = charges(self.also_charged)
            .iter()
            .filter(|also| own.iter().all(|own| own.limit != also.limit));
        own.iter()
            .chain(also)
            .map(|charge| (charge, key_of(&charge.key, head, client, table.key_seed())))
    }
}
