//! The access log moves with the configuration.

use std::path::Path;

use crate::scene::{Yaml, origin, start};
use crate::support::{Client, Lb, eventually};

async fn written(path: &Path, text: &str) -> String {
    eventually(&format!("{} to say {text}", path.display()), || {
        let all = std::fs::read_to_string(path).ok()?;
        all.lines().find(|line| line.contains(text)).map(str::to_owned)
    })
    .await
}

async fn get(lb: &Lb, path: &str) {
    assert_eq!(Client::plain().text(&lb.url(path)).await, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn path_and_format_change_and_no_line_is_lost() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    let lb = start(&yaml).await;
    // What a worker still holds when the log moves goes where the next line goes, so
    // each is waited for.
    get(&lb, "/to-stdout").await;
    lb.access_line(|line| line["target"] == "/to-stdout").await;
    yaml.top("access_log", "{ path: first.log }");
    lb.reload(&yaml.to_string()).await;
    get(&lb, "/to-first").await;
    let line = written(&lb.path("first.log"), "/to-first").await;
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    yaml.top("access_log", "{ path: first.log, format: combined }");
    lb.reload(&yaml.to_string()).await;
    get(&lb, "/combined").await;
    let line = written(&lb.path("first.log"), "/combined").await;
    assert!(line.contains("\"GET /combined HTTP/1.1\" 200 1 "), "{line}");
    yaml.top("access_log", "{ path: second.log, format: combined }");
    lb.reload(&yaml.to_string()).await;
    get(&lb, "/to-second").await;
    written(&lb.path("second.log"), "/to-second").await;
    // SIGUSR1 opens what is in use now.
    std::fs::rename(lb.path("second.log"), lb.path("second.log.1")).unwrap();
    lb.signal("USR1");
    eventually("the file to be made again", || lb.path("second.log").exists().then_some(())).await;
    get(&lb, "/rotated").await;
    written(&lb.path("second.log"), "/rotated").await;
    yaml.top.remove("access_log");
    lb.reload(&yaml.to_string()).await;
    get(&lb, "/to-stdout-again").await;

    lb.access_line(|line| line["target"] == "/to-stdout-again").await;
    assert!(lb.path("second.log.1").exists());
    assert_eq!(lb.access_lines().len(), 2, "{:?}", lb.access_lines());
    assert_eq!(lb.metric("lb_access_log_dropped_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_opened_changes_nothing() {
    let (first, _) = origin("x").await;
    let (second, _) = origin("second").await;
    let lb = start(&Yaml::new(&first)).await;
    let mut yaml = Yaml::new(&second);
    yaml.listener("extra", crate::scene::ANY_PORT);
    yaml.top("access_log", "{ path: nowhere/access.log }");
    let mark = lb.mark();
    let report = lb.reload_fails(&yaml.to_string()).await;
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("nowhere/access.log"), "{error}");
    lb.logged_since(mark, "the old one stays in use").await;
    get(&lb, "/still").await;
    lb.access_line(|line| line["target"] == "/still").await;
    std::fs::create_dir(lb.path("nowhere")).unwrap();
    assert_eq!(lb.hup().await["outcome"], "applied");
    assert_eq!(Client::unpooled().text(&lb.url("/there")).await, "second");
    written(&lb.path("nowhere/access.log"), "/there").await;
}
