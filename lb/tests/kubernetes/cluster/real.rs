//! A real API server, as a cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::Verb;
use crate::kubeconfig::{self, Access};

const KUBECONFIG: &str = "K8S_TEST_KUBECONFIG";
const APISERVER: &str = "K8S_TEST_APISERVER";

/// How long what was written may take to hold.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the tests are to use a real API server.
pub fn is_wanted() -> bool {
    std::env::var_os(KUBECONFIG).is_some()
}

pub struct Real {
    client: Client,
    namespace: String,
    /// Of the one that may do everything; its token is not for `lb`.
    access: Access,
    is_stopped: AtomicBool,
}

/// The other tests need it, whatever became of this one.
impl Drop for Real {
    fn drop(&mut self) {
        if self.is_stopped.load(Ordering::Relaxed) {
            order("start");
        }
    }
}

impl Real {
    /// Creates the namespace.
    pub async fn connect(namespace: &str) -> Self {
        let path = std::env::var_os(KUBECONFIG).expect("it is wanted");
        let kubeconfig = Kubeconfig::read_from(Path::new(&path))
            .unwrap_or_else(|error| panic!("{KUBECONFIG}: {error}"));
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let config = config.unwrap_or_else(|error| panic!("{KUBECONFIG}: {error}"));
        let access = Access {
            server: config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            authority: config
                .root_cert
                .as_ref()
                .map(|chain| chain.iter().map(|der| pem(der)).collect()),
            insecure: config.accept_invalid_certs,
            token: String::new(),
        };
        let client = Client::try_from(config).unwrap();
        let real = Self {
            client,
            namespace: namespace.to_owned(),
            access,
            is_stopped: AtomicBool::new(false),
        };
        let all: Api<Namespace> = Api::all(real.client.clone());
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace },
        });
        let created = all.create(&PostParams::default(), &of(object)).await;
        created.unwrap_or_else(|error| panic!("namespace {namespace}: {error}"));
        real
    }

    fn of_namespace<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn apply(&self, slice: EndpointSlice) {
        let name = slice.metadata.name.clone().unwrap();
        self.write(&name, &slice).await;
    }

    async fn write<K>(&self, name: &str, object: &K)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let params = PatchParams::apply("tests").force();
        let written = self.of_namespace::<K>().patch(name, &params, &Patch::Apply(object)).await;
        written.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub async fn delete(&self, name: &str) {
        let deleted =
            self.of_namespace::<EndpointSlice>().delete(name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub async fn user(&self, name: &str, verbs: &[Verb]) -> Access {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": self.namespace }],
        });
        self.write::<RoleBinding>(name, &of(binding)).await;
        self.allow(name, verbs).await;
        self.renew(name).await
    }

    /// Returns when it holds.
    pub async fn allow(&self, name: &str, verbs: &[Verb]) {
        let names: Vec<_> = verbs.iter().map(|verb| verb.name()).collect();
        let rule = json!({
            "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": names,
        });
        let rules = if verbs.is_empty() { json!([]) } else { json!([rule]) };
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": { "name": name }, "rules": rules,
        });
        self.write::<Role>(name, &of(role)).await;
        let deadline = Instant::now() + PATIENCE;
        for verb in [Verb::List, Verb::Watch] {
            while self.may(name, verb).await != verbs.contains(&verb) {
                assert!(Instant::now() < deadline, "the Role of {name} never holds");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn may(&self, name: &str, verb: Verb) -> bool {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": format!("system:serviceaccount:{}:{name}", self.namespace),
                "resourceAttributes": {
                    "namespace": self.namespace, "verb": verb.name(),
                    "group": "discovery.k8s.io", "resource": "endpointslices",
                },
            },
        });
        let all: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = all.create(&PostParams::default(), &of(review)).await.unwrap();
        review.status.is_some_and(|status| status.allowed)
    }

    /// Tokens are worth as much as the account they were made for. Returns when the API
    /// server no longer remembers that this one was good.
    pub async fn expire(&self, name: &str) {
        let access = self.access_of(name).await;
        let accounts = self.of_namespace::<ServiceAccount>();
        accounts.delete(name, &DeleteParams::default()).await.unwrap();
        let kubeconfig = of(kubeconfig::of(&access));
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let slices: Api<EndpointSlice> =
            Api::namespaced(Client::try_from(config).unwrap(), &self.namespace);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match slices.list(&Default::default()).await {
                Err(kube::Error::Api(status)) if status.code == 401 => return,
                other => assert!(Instant::now() < deadline, "still good: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn renew(&self, name: &str) -> Access {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name },
        });
        self.write::<ServiceAccount>(name, &of(account)).await;
        self.access_of(name).await
    }

    async fn access_of(&self, name: &str) -> Access {
        let request: TokenRequest = of(json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "metadata": {}, "spec": { "audiences": [], "expirationSeconds": 3600 },
        }));
        let accounts = self.of_namespace::<ServiceAccount>();
        let made = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let made = made.unwrap_or_else(|error| panic!("a token of {name}: {error}"));
        Access { token: made.status.unwrap().token, ..self.access.clone() }
    }

    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        order("stop");
    }

    pub fn start(&self) {
        order("start");
        self.is_stopped.store(false, Ordering::Relaxed);
    }
}

/// An object, from JSON as it stands in manifests.
fn of<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

fn order(what: &str) {
    let executable = std::env::var_os(APISERVER)
        .unwrap_or_else(|| panic!("{APISERVER} has to name what stops and starts the API server"));
    let executable = PathBuf::from(executable);
    let status = Command::new(&executable).arg(what).status();
    let status = status.unwrap_or_else(|error| panic!("{}: {error}", executable.display()));
    assert!(status.success(), "{} {what}: {status}", executable.display());
}

/// Certificates in kubeconfig files are PEM.
fn pem(der: &[u8]) -> String {
    let base64 = json!(ByteString(der.to_vec()));
    let base64 = base64.as_str().unwrap();
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}
