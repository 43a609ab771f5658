//! The API server itself, with the client that `lb` has: what it says is understood as
//! what the real one says.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Api, Client, Config};

use super::{ApiServer, Fault, Order, Refusal, Verb};
use crate::kubeconfig::{self, Access};
use crate::slices::{State, endpoint, slice};

const PATIENCE: Duration = Duration::from_secs(20);
const SERVICE: &str = "kubernetes.io/service-name=api";

async fn client(api: &ApiServer, token: &str) -> Api<EndpointSlice> {
    let access = Access {
        server: api.url(),
        authority: api.authority.clone(),
        insecure: false,
        token: token.to_owned(),
    };
    let config: Kubeconfig = serde_json::from_value(kubeconfig::of(&access)).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(config, &options).await.unwrap();
    Api::namespaced(Client::try_from(config).unwrap(), "x")
}

/// One that lets `token` list and watch in `x`.
async fn server() -> ApiServer {
    let api = ApiServer::start().await;
    allow(&api, &[Verb::List, Verb::Watch]);
    api
}

fn allow(api: &ApiServer, verbs: &[Verb]) {
    api.grant("token", "system:serviceaccount:x:lb", "x", verbs);
}

fn apply(api: &ApiServer, name: &str, service: &str) {
    let ready = endpoint(&["10.244.0.1"], State::Ready);
    let mut slice = slice(name, service, &[("http", 8080)], vec![ready]);
    slice.metadata.namespace = Some("x".to_owned());
    api.apply(slice);
}

/// A watcher, told in words.
struct Watcher(futures_util::stream::BoxStream<'static, String>);

impl Watcher {
    async fn new(api: &ApiServer, change: impl FnOnce(watcher::Config) -> watcher::Config) -> Self {
        let config = change(watcher::Config::default().labels(SERVICE).timeout(60));
        let name = |slice: EndpointSlice| slice.metadata.name.unwrap();
        let stream = watcher::watcher(client(api, "token").await, config);
        Self(
            stream
                .map(move |event| match event {
                    Ok(Event::Init) => "init".to_owned(),
                    Ok(Event::InitApply(slice)) => format!("has {}", name(slice)),
                    Ok(Event::InitDone) => "done".to_owned(),
                    Ok(Event::Apply(slice)) => format!("applied {}", name(slice)),
                    Ok(Event::Delete(slice)) => format!("deleted {}", name(slice)),
                    Err(error) => format!("error: {error:?}"),
                })
                .boxed(),
        )
    }

    async fn says(&mut self, wanted: &str) {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
        let said = next.unwrap_or_else(|_| panic!("nothing instead of {wanted:?}")).unwrap();
        // Errors are long: the part that matters.
        let matches = said == wanted || said.starts_with("error: ") && said.contains(wanted);
        assert!(matches, "{said:?} instead of {wanted:?}");
    }

    async fn all_say(&mut self, wanted: &[&str]) {
        for wanted in wanted {
            self.says(wanted).await;
        }
    }
}

#[tokio::test]
async fn a_list_and_what_comes_after_it() {
    for strategy in [InitialListStrategy::ListWatch, InitialListStrategy::StreamingList] {
        let api = server().await;
        apply(&api, "a", "api");
        apply(&api, "other", "web");
        let streaming = strategy == InitialListStrategy::StreamingList;
        let change = |config| watcher::Config { initial_list_strategy: strategy, ..config };
        let mut watcher = Watcher::new(&api, change).await;
        watcher.all_say(&["init", "has a", "done"]).await;
        apply(&api, "b", "api");
        apply(&api, "other", "web");
        apply(&api, "a", "api");
        api.delete("x", "b");
        // For who follows a label, it is gone.
        apply(&api, "a", "web");
        watcher.all_say(&["applied b", "applied a", "deleted b", "deleted a"]).await;
        assert_eq!(api.count(Verb::List), usize::from(!streaming));
        assert_eq!((api.count(Verb::Watch), api.watches()), (1, 1));
    }
}

#[tokio::test]
async fn pages_are_of_one_version() {
    let api = server().await;
    for name in ["a", "b", "c", "d", "e"] {
        apply(&api, name, "api");
    }
    let client = client(&api, "token").await;
    let params = kube::api::ListParams::default().labels(SERVICE).limit(2);
    let first = client.list(&params).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (2, Some(3)));
    api.delete("x", "e");
    let token = first.metadata.continue_.unwrap();
    let second = client.list(&params.clone().continue_token(&token)).await.unwrap();
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
    let token = second.metadata.continue_.unwrap();
    let third = client.list(&params.clone().continue_token(&token)).await.unwrap();
    assert_eq!(third.items[0].metadata.name.as_deref(), Some("e"), "it was there");
    assert_eq!(third.metadata.continue_, None);
    // What came after is told by a watch from there.
    let mut watcher = Watcher::new(&api, |config| config.page_size(2)).await;
    watcher.all_say(&["init", "has a", "has b", "has c", "has d", "done"]).await;
    api.compact();
    let error = client.list(&params.continue_token(&token)).await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 410), "{error:?}");
}

#[tokio::test]
async fn watches_resume_where_they_were() {
    let api = server().await;
    apply(&api, "a", "api");
    let mut watcher = Watcher::new(&api, |config| config).await;
    watcher.all_say(&["init", "has a", "done"]).await;
    for (name, order) in [("b", Order::End), ("c", Order::Cut)] {
        apply(&api, name, "api");
        watcher.says(&format!("applied {name}")).await;
        api.order(order);
        let after = format!("after {name}");
        apply(&api, &after, "api");
        // Cut in the middle, there may be an error first.
        let next = tokio::time::timeout(PATIENCE, watcher.0.next()).await.unwrap().unwrap();
        if next.starts_with("error: ") {
            watcher.says(&format!("applied {after}")).await;
        } else {
            assert_eq!(next, format!("applied {after}"));
        }
    }
    api.stop();
    watcher.says("ConnectionRefused").await;
    api.start_again().await;
    apply(&api, "d", "api");
    loop {
        let next = tokio::time::timeout(PATIENCE, watcher.0.next()).await.unwrap().unwrap();
        if next == "applied d" {
            break;
        }
        assert!(next.starts_with("error: "), "{next}");
    }
    assert_eq!(api.count(Verb::List), 1, "{:?}", api.asked());
}

#[tokio::test]
async fn whoever_is_too_far_behind_has_to_list_again() {
    let api = server().await;
    apply(&api, "a", "api");
    let mut watcher = Watcher::new(&api, |config| config).await;
    watcher.all_say(&["init", "has a", "done"]).await;
    apply(&api, "b", "api");
    watcher.says("applied b").await;
    // Others have changed, and it was not told.
    apply(&api, "other", "web");
    api.compact();
    ended(&api).await;
    watcher.all_say(&["too old resource version", "init", "has a", "has b", "done"]).await;
    assert_eq!(api.count(Verb::List), 2);
    // A bookmark tells how far it is, so that it is not behind next time.
    apply(&api, "other", "web");
    apply(&api, "c", "api");
    watcher.says("applied c").await;
    apply(&api, "other", "web");
    let newest = *api.core.store.newest().borrow();
    api.order(Order::Bookmark);
    ended(&api).await;
    api.compact();
    apply(&api, "d", "api");
    watcher.says("applied d").await;
    assert_eq!(api.count(Verb::List), 2);
    let resumed = api.asked().pop().unwrap();
    assert_eq!(resumed.version, Some(newest.to_string()));
}

/// The watcher asks for the same again, and its user has to begin anew.
#[tokio::test]
async fn a_410_can_be_the_status_of_the_answer() {
    let api = server().await;
    let mut watcher = Watcher::new(&api, |config| config).await;
    watcher.all_say(&["init", "done"]).await;
    apply(&api, "a", "api");
    watcher.says("applied a").await;
    api.say_gone_in_the_status();
    apply(&api, "other", "web");
    api.compact();
    ended(&api).await;
    watcher.all_say(&["WatchStartFailed(Api(Status", "code: 410"]).await;
    assert_eq!(api.count(Verb::List), 1);
    Watcher::new(&api, |config| config).await.all_say(&["init", "has a", "done"]).await;
}

/// Ends its watches.
async fn ended(api: &ApiServer) {
    api.order(Order::End);
    while api.watches() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn time_ends_a_watch() {
    let api = server().await;
    let client = client(&api, "token").await;
    let params = kube::api::WatchParams::default().timeout(1);
    let begun = std::time::Instant::now();
    let events: Vec<_> = client.watch(&params, "0").await.unwrap().try_collect().await.unwrap();
    assert!(events.is_empty(), "{events:?}");
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn who_may_not_is_told_so_as_by_the_real_one() {
    let api = server().await;
    let list = async |token: &str| {
        let listed = client(&api, token).await.list(&Default::default()).await;
        match listed {
            Ok(_) => (200, String::new()),
            Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!(list("token").await.0, 200);
    assert_eq!(list("somebody").await, (401, "Unauthorized".to_owned()));
    allow(&api, &[Verb::Watch]);
    let message = "endpointslices.discovery.k8s.io is forbidden: User \
                   \"system:serviceaccount:x:lb\" cannot list resource \"endpointslices\" in API \
                   group \"discovery.k8s.io\" in the namespace \"x\"";
    assert_eq!(list("token").await, (403, message.to_owned()));
    allow(&api, &[Verb::List]);
    let mut watcher = Watcher::new(&api, |config| config).await;
    watcher.all_say(&["init", "done", "cannot watch resource"]).await;
    api.expire("token");
    assert_eq!(list("token").await.0, 401);
}

#[tokio::test]
async fn https_with_the_authority_of_the_kubeconfig() {
    let api = ApiServer::start_with_tls().await;
    allow(&api, &[Verb::List, Verb::Watch]);
    let mut watcher = Watcher::new(&api, |config| config).await;
    watcher.all_say(&["init", "done"]).await;
    apply(&api, "a", "api");
    watcher.says("applied a").await;
    let mut stranger = ApiServer::start_with_tls().await;
    stranger.authority.clone_from(&api.authority);
    let refused = client(&stranger, "token").await.list(&Default::default()).await;
    assert!(refused.is_err(), "another authority is not trusted");
}

#[tokio::test]
async fn it_fails_as_it_is_told_to() {
    let api = server().await;
    let client = client(&api, "token").await;
    let list = async || client.list(&Default::default()).await;
    api.fail(Verb::List, Fault::Cut);
    assert!(matches!(list().await, Err(kube::Error::HyperError(_) | kube::Error::Service(_))));
    api.fail(Verb::List, Fault::Garbage);
    assert!(matches!(list().await, Err(kube::Error::SerdeError(_))));
    api.fail(Verb::List, Fault::Refuse(Refusal::new(500, "InternalError", "etcd is away")));
    assert!(matches!(list().await, Err(kube::Error::Api(status)) if status.code == 500));
    api.fail(Verb::List, Fault::Hang);
    let hanging = tokio::time::timeout(Duration::from_millis(300), list());
    assert!(hanging.await.is_err(), "an answer");
    api.fail(Verb::List, Fault::Stall);
    let stalling = tokio::time::timeout(Duration::from_millis(300), list());
    assert!(stalling.await.is_err(), "a whole answer");
    api.mend(Verb::List);
    assert!(list().await.is_ok());
    for fault in [Fault::End, Fault::Error(Refusal::new(500, "InternalError", "no"))] {
        api.fail(Verb::Watch, fault.clone());
        let stream = client.watch(&Default::default(), "0").await.unwrap();
        let events: Vec<_> = stream.try_collect().await.unwrap();
        assert_eq!(events.len(), usize::from(!matches!(fault, Fault::End)), "{events:?}");
    }
    api.mend(Verb::Watch);
    let mut watcher = Watcher::new(&api, |config| config).await;
    watcher.all_say(&["init", "done"]).await;
    apply(&api, "a", "api");
    watcher.says("applied a").await;
    api.order(Order::Say("<html>\n".to_owned()));
    watcher.says("WatchFailed(SerdeError").await;
    apply(&api, "b", "api");
    watcher.says("applied b").await;
}
