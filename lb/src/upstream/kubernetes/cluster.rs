//! The client of the API server, shared by all Services.

use std::ffi::OsStr;
use std::sync::atomic::{AtomicU64, Ordering};

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::line::WATCH_FOR;
use super::{ClusterSettings, Problem};

/// An API server, and the client for it as long as it is of use.
#[derive(Debug)]
pub(in crate::upstream) struct Cluster {
    settings: ClusterSettings,
    client: Mutex<Option<Made>>,
    /// The attempt to make one. There is one at most, however many wait for it and however
    /// long it takes: a program that a kubeconfig names may hang.
    attempt: tokio::sync::Mutex<Option<Attempt>>,
}

type Attempt = JoinHandle<Result<Made, Problem>>;

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
        Self { settings, client: Mutex::default(), attempt: Default::default() }
    }

    pub(in crate::upstream) fn settings(&self) -> &ClusterSettings {
        &self.settings
    }

    /// The client, made when there is none.
    pub(super) async fn client(&self) -> Result<Made, Problem> {
        let known = || self.client.lock().clone();
        if let Some(made) = known() {
            return Ok(made);
        }
        let make = async {
            let mut attempt = self.attempt.lock().await;
            if let Some(made) = known() {
                return Ok(made);
            }
            let ended = attempt.get_or_insert_with(|| {
                let settings = self.settings.clone();
                // Files are read, and programs run.
                tokio::task::spawn_blocking(move || Handle::current().block_on(make(&settings)))
            });
            let ended = ended.await;
            *attempt = None;
            let made = ended
                .map_err(|_| Problem::Config("the kubeconfig cannot be used".to_owned()))??;
            *self.client.lock() = Some(made.clone());
            Ok(made)
        };
        timeout(self.settings.timeout, make).await.unwrap_or_else(|_| {
            Err(Problem::Config("the kubeconfig's program has not ended yet".to_owned()))
        })
    }

    /// A client is of no use any more: who we are may stand in the file by now.
    pub(super) fn forget(&self, useless: &Made) {
        let mut client = self.client.lock();
        if client.as_ref().is_some_and(|made| made.number == useless.number) {
            *client = None;
        }
    }
}

async fn make(settings: &ClusterSettings) -> Result<Made, Problem> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut config = match &settings.kubeconfig {
        Some(path) => of_file(Kubeconfig::read_from(path), settings).await?,
        // A context is one of a kubeconfig.
        None if settings.context.is_none() && is_in_cluster() => {
            Config::incluster().map_err(|error| {
                Problem::Config(format!("this pod has no service account mounted: {error}"))
            })?
        }
        None => of_file(files_of_user(), settings).await?,
    };
    if config.cluster_url.scheme().is_none() {
        // kube would panic.
        let what = "the kubeconfig's server has no scheme; write https://HOST:PORT";
        return Err(Problem::Config(what.to_owned()));
    }
    trim_token(&mut config)?;
    config.connect_timeout = Some(settings.timeout);
    config.write_timeout = Some(settings.timeout);
    // A watch is silent for as long as nothing changes, at most as long as it lives.
    config.read_timeout = Some(WATCH_FOR + settings.timeout);
    config.reset_reader_on_write = true;
    // When to ask again is ours to say.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| Problem::of_config(&error))?;
    Ok(Made { client, number: NEXT.fetch_add(1, Ordering::Relaxed) })
}

/// The files that `KUBECONFIG` lists, or `~/.kube/config`. As with kubectl, those that are
/// listed and missing are left out, as long as one is there.
fn files_of_user() -> Result<Kubeconfig, KubeconfigError> {
    match std::env::var_os("KUBECONFIG") {
        Some(list) => of_list(&list),
        None => Kubeconfig::read(),
    }
}

fn of_list(list: &OsStr) -> Result<Kubeconfig, KubeconfigError> {
    let listed = std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty());
    let mut listed: Vec<_> = listed.collect();
    if listed.is_empty() {
        return Kubeconfig::read();
    }
    if listed.iter().any(|path| path.exists()) {
        listed.retain(|path| path.exists());
    }
    listed.iter().try_fold(Kubeconfig::default(), |merged, path| {
        Kubeconfig::read_from(path).and_then(|more| merged.merge(more))
    })
}

/// Takes white space off a token, as client-go does: an editor leaves a line's end, which
/// no header may have. A token in a file of its own is one in the kubeconfig then: it is
/// read again when it is not accepted any more.
fn trim_token(config: &mut Config) -> Result<(), Problem> {
    let in_file = match &config.auth_info.token_file {
        Some(path) => std::fs::read_to_string(path).ok(),
        None => None,
    };
    let token = match (&config.auth_info.token, in_file) {
        (_, Some(token)) if token.trim() != token => token,
        (Some(token), None) => token.expose_secret().to_owned(),
        _ => return Ok(()),
    };
    let token = token.trim();
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = "the kubeconfig's token is none: it has white space or other characters in it";
        return Err(Problem::Config(what.to_owned()));
    }
    config.auth_info.token = Some(token.to_owned().into());
    config.auth_info.token_file = None;
    Ok(())
}

/// What Kubernetes sets in every container.
fn is_in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

async fn of_file(
    read: Result<Kubeconfig, KubeconfigError>,
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
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn settings(kubeconfig: &Path) -> ClusterSettings {
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
            ("clusters: [", "line 1"),
            ("current-context: a\ncontexts: []", "context"),
        ] {
            let problem = refused(text).await.to_lowercase();
            assert!(problem.contains(said), "{text:?}: {problem}");
        }
    }

    /// As with kubectl.
    #[test]
    fn files_that_are_listed_may_be_missing_but_not_all() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("there");
        std::fs::write(&there, of_user("{ token: t }")).unwrap();
        let missing = Path::new("/nowhere/kubeconfig");
        let list = |paths: &[&Path]| of_list(&std::env::join_paths(paths).unwrap());
        let read = list(&[missing, Path::new(""), &there, missing]).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("a"));
        let error = list(&[missing, missing]).unwrap_err();
        assert!(format!("{error:?}").contains("/nowhere/kubeconfig"), "{error:?}");
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

    /// A kubeconfig whose user is this.
    fn of_user(user: &str) -> String {
        format!(
            "current-context: a\ncontexts: [{{ name: a, context: {{ cluster: c, user: u }} }}]\n\
             clusters: [{{ name: c, cluster: {{ server: \"http://127.0.0.1:1\" }} }}]\n\
             users:\n- name: u\n  user: {user}\n"
        )
    }

    fn exec(command: &str, args: &str) -> String {
        of_user(&format!(
            "{{ exec: {{ apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
             command: {command}, args: [{args}], env: [{{ name: KEY, value: hunter2 }}] }} }}"
        ))
    }

    #[tokio::test]
    async fn what_kube_would_panic_of_is_refused() {
        let no_scheme = of_user("{ token: t }").replace("http://", "");
        assert!(refused(&no_scheme).await.contains("scheme"));
        let odd = refused(&of_user("{ token: \"a b\" }")).await;
        assert!(odd.contains("token"), "{odd}");
    }

    #[tokio::test]
    async fn a_token_may_end_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let (path, token) = (directory.path().join("config"), directory.path().join("token"));
        std::fs::write(&token, "t\n").unwrap();
        for user in
            ["{ token: \"t\\n\" }".to_owned(), format!("{{ tokenFile: {} }}", token.display())]
        {
            std::fs::write(&path, of_user(&user)).unwrap();
            let request = http::Request::get("/").body(kube::client::Body::empty()).unwrap();
            let made = Cluster::new(settings(&path)).client().await.unwrap();
            // It comes as far as the server, which is not there.
            let error = made.client.send(request).await.unwrap_err();
            let problem = Problem::Config(format!("{error:?}")).to_string();
            assert!(problem.contains("ConnectionRefused"), "{problem}");
        }
    }

    #[tokio::test]
    async fn no_secret_is_repeated() {
        for text in [
            of_user("{ token: hunter2, exec: 7 }"),
            exec("sh", "-c, \"echo hunter2; exit 3\""),
            exec("echo", "\"{ token: hunter2 }\""),
            exec("echo", "\"{ hunter2\""),
            exec("/nowhere/program", ""),
        ] {
            let problem = refused(&text).await;
            assert!(problem.contains("kubeconfig"), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    /// However long it takes, however many wait for it, and however often they ask.
    #[tokio::test]
    async fn a_program_that_hangs_runs_once() {
        let directory = tempfile::tempdir().unwrap();
        let started = directory.path().join("started");
        let path = directory.path().join("config");
        let script = format!("\"echo >> {}; exec sleep 2\"", started.display());
        std::fs::write(&path, exec("sh", &format!("-c, {script}"))).unwrap();
        let hasty = ClusterSettings { timeout: Duration::from_millis(300), ..settings(&path) };
        let cluster = Cluster::new(hasty);
        for _ in 0..3 {
            let (one, other) = tokio::join!(cluster.client(), cluster.client());
            for problem in [one.unwrap_err(), other.unwrap_err()] {
                assert!(problem.to_string().contains("has not ended yet"), "{problem}");
            }
        }
        assert_eq!(std::fs::read_to_string(started).unwrap(), "\n");
    }
}
