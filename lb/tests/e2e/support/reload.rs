//! What tests of reloads do with a running `lb`.

use std::net::SocketAddr;

use reqwest::StatusCode;
use serde_json::Value;

use super::{Client, Lb, eventually};

/// Every reload is counted here.
const RELOADS: &str = "lb_config_reloads_total";

impl Lb {
    /// Puts another configuration in the place of its own, as an editor does: beside
    /// it, then over it.
    pub fn rewrite(&self, yaml: &str) {
        self.rewrite_with(Self::written(yaml));
    }

    /// The same with any bytes.
    pub fn rewrite_with(&self, bytes: impl AsRef<[u8]>) {
        let (beside, config) = (self.path("lb.yaml.new"), self.path("lb.yaml"));
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, config).unwrap();
    }

    /// How many reloads there were.
    pub async fn reloads(&self) -> f64 {
        self.metric(RELOADS, &[]).await
    }

    /// SIGHUP, until there is a report, which is given.
    pub async fn hup(&self) -> Value {
        let before = self.reloads().await;
        self.signal("HUP");
        self.metric_becomes(RELOADS, &[], before + 1.0).await;
        self.last_reload().await
    }

    /// Another configuration, which it takes up.
    pub async fn reload(&self, yaml: &str) -> Value {
        self.rewrite(yaml);
        let report = self.hup().await;
        assert_eq!(report["outcome"], "applied", "{report:#}\n{yaml}");
        report
    }

    /// Another configuration, which it refuses.
    pub async fn reload_fails(&self, yaml: &str) -> Value {
        self.rewrite(yaml);
        let report = self.hup().await;
        assert_eq!(report["outcome"], "failed", "{report:#}\n{yaml}");
        report
    }

    /// Where its admin server is: the configuration says 127.0.0.1:0.
    pub async fn admin(&self) -> SocketAddr {
        let line = self.logged("admin server").await;
        super::lb::field(&line, "address").parse().unwrap()
    }

    pub async fn admin_url(&self) -> String {
        format!("http://{}/api/reload", self.admin().await)
    }

    /// The last report, as the admin server gives it.
    pub async fn last_reload(&self) -> Value {
        let url = self.admin_url().await;
        let response = Client::plain().0.get(url).header("x-lb-admin", "1").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// Asks the admin server for a reload: the status, and the report.
    pub async fn post_reload(&self) -> (u16, Value) {
        let url = self.admin_url().await;
        let response = Client::plain().0.post(url).header("x-lb-admin", "1").send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    /// The body of /readyz, and its status.
    pub async fn readiness(&self) -> (u16, Value) {
        let url = format!("http://{}/readyz", self.status);
        let response = Client::plain().get(&url).await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    /// How many lines it has logged: what comes after is new.
    pub fn mark(&self) -> usize {
        self.log_lines().len()
    }

    /// Waits for a line after `mark`.
    pub async fn logged_since(&self, mark: usize, text: &str) -> String {
        eventually(&format!("the log to say {text:?} again"), || {
            self.log_lines().into_iter().skip(mark).find(|line| line.contains(text))
        })
        .await
    }

    /// Where a listener was bound after `mark`.
    pub async fn bound_since(&self, mark: usize, listener: &str) -> SocketAddr {
        let line = self.logged_since(mark, &format!("listening listener={listener} ")).await;
        super::lb::field(&line, "address").parse().unwrap()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}
