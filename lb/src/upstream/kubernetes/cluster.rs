//! The client of the API server, shared by all Services.

use std::sync::atomic::{AtomicU64, Ordering};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::line::WATCH_FOR;
use super::{ClusterSettings, Problem};

/// An API server, and the client for it as long as it is of use.
#[derive(Debug)]
pub(in crate::upstream) struct Cluster {
    settings: ClusterSettings,
    client: Mutex<Option<Made>>,
}

/// A client, and how many there were before it.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) client: Client,
    number: u64,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Cluster {
    pub(in crate::upstream) fn new(settings: ClusterSettings) -> Self {
        Self { settings, client: Mutex::new(None) }
    }

    pub(in crate::upstream) fn settings(&self) -> &ClusterSettings {
        &self.settings
    }

    /// The client, made when there is none.
    pub(super) async fn client(&self) -> Result<Made, Problem> {
        if let Some(made) = &*self.client.lock() {
            return Ok(made.clone());
        }
        let settings = self.settings.clone();
        // Files are read, and a kubeconfig may have a program run that gives a token.
        let make = tokio::task::spawn_blocking(move || Handle::current().block_on(make(&settings)));
        let client = match timeout(self.settings.timeout, make).await {
            Ok(Ok(made)) => made?,
            Ok(Err(_)) => return Err(Problem::Config("the kubeconfig cannot be used".to_owned())),
            Err(_) => {
                return Err(Problem::Config("the kubeconfig's program gives no token".to_owned()));
            }
        };
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two that made one at the same time have the first.
        Ok(self.client.lock().get_or_insert(Made { client, number }).clone())
    }

    /// A client is of no use any more: who we are may stand in the file by now.
    pub(super) fn forget(&self, useless: &Made) {
        let mut client = self.client.lock();
        if client.as_ref().is_some_and(|made| made.number == useless.number) {
            *client = None;
        }
    }
}

async fn make(settings: &ClusterSettings) -> Result<Client, Problem> {
    let mut config = match &settings.kubeconfig {
        Some(path) => of_file(Kubeconfig::read_from(path), settings).await?,
        // As kubectl and client-go look for it.
        None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            Config::incluster().map_err(|error| Problem::of_config(&error))?
        }
        None => of_file(Kubeconfig::read(), settings).await?,
    };
    config.connect_timeout = Some(settings.timeout);
    config.write_timeout = Some(settings.timeout);
    // A watch is silent for as long as nothing changes, at most as long as it lives.
    config.read_timeout = Some(WATCH_FOR + settings.timeout);
    config.reset_reader_on_write = true;
    // When to ask again is ours to say.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| Problem::of_config(&error))
}

async fn of_file(
    read: Result<Kubeconfig, kube::config::KubeconfigError>,
    settings: &ClusterSettings,
) -> Result<Config, Problem> {
    let options = KubeConfigOptions { context: settings.context.clone(), ..Default::default() };
    let config = match read {
        Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
        Err(error) => Err(error),
    };
    config.map_err(|error| Problem::of_config(&error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(kubeconfig: &std::path::Path) -> ClusterSettings {
        ClusterSettings {
            kubeconfig: Some(kubeconfig.to_owned()),
            context: None,
            zone: None,
            timeout: Duration::from_secs(5),
        }
    }

    async fn refused(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, text).unwrap();
        let problem = Cluster::new(settings(&path)).client().await.unwrap_err();
        assert_eq!(problem.reason(), "config");
        problem.to_string()
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_file_is_said() {
        let missing = Cluster::new(settings("/nowhere/kubeconfig".as_ref()));
        let problem = missing.client().await.unwrap_err().to_string();
        assert!(problem.contains("/nowhere/kubeconfig"), "{problem}");
        for (text, said) in [
            ("", "current context"),
            ("clusters: [", "parse"),
            ("current-context: a\ncontexts: []", "context"),
        ] {
            let problem = refused(text).await.to_lowercase();
            assert!(problem.contains(said), "{text:?}: {problem}");
        }
    }

    #[tokio::test]
    async fn a_client_is_made_once_and_again_when_it_is_of_no_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let text = "current-context: a\ncontexts: [{ name: a, context: { cluster: c, user: u } }]\n\
            clusters: [{ name: c, cluster: { server: \"http://127.0.0.1:1\" } }]\n\
            users: [{ name: u, user: { token: t } }]\n";
        std::fs::write(&path, text).unwrap();
        let cluster = Cluster::new(settings(&path));
        let first = cluster.client().await.unwrap();
        assert_eq!(cluster.client().await.unwrap().number, first.number);
        cluster.forget(&first);
        let second = cluster.client().await.unwrap();
        assert_ne!(second.number, first.number);
        cluster.forget(&first);
        assert_eq!(cluster.client().await.unwrap().number, second.number, "that was another");
    }
}
