//! `reload: { watch: true }`: the file changes, and nobody has to say so.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::scene::{Yaml, origin, start};
use crate::support::{Client, Lb, Origin};

const APPLIED: &[&str] = &["outcome=\"applied\""];
const FAILED: &[&str] = &["outcome=\"failed\""];
const RELOADS: &str = "lb_config_reloads_total";

async fn watching() -> (Origin, Origin, Yaml, Yaml, Lb) {
    let (first, _) = origin("first").await;
    let (second, _) = origin("second").await;
    let mut yamls = [Yaml::new(&first), Yaml::new(&second)];
    yamls.iter_mut().for_each(|yaml| {
        yaml.top("reload", "{ watch: true }");
    });
    let lb = start(&yamls[0]).await;
    let [one, two] = yamls;
    (first, second, one, two, lb)
}

async fn served(lb: &Lb) -> String {
    Client::unpooled().text(&lb.url("/")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_place_and_another_file_in_its_place_are_seen() {
    let (_one, _two, first, second, lb) = watching().await;
    fs::write(lb.path("lb.yaml"), Lb::written(&second.to_string())).unwrap();
    lb.metric_becomes(RELOADS, APPLIED, 1.0).await;
    assert_eq!(served(&lb).await, "second");
    assert_eq!(lb.last_reload().await["trigger"], "file changed");
    lb.rewrite(&first.to_string());
    lb.metric_becomes(RELOADS, APPLIED, 2.0).await;
    assert_eq!(served(&lb).await, "first");
    assert_eq!(lb.metric(RELOADS, FAILED).await, 0.0);
}

/// The pause is shorter than the time for which a file has to be quiet, but for a
/// machine that stops in between: then the first half is a file of its own, which
/// cannot be used, and the whole one is taken up after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_being_written_is_waited_for() {
    let (_one, _two, _, second, lb) = watching().await;
    let text = Lb::written(&second.to_string());
    let (half, rest) = text.split_at(text.len() / 2);
    let begun = std::time::Instant::now();
    let mut file = fs::File::create(lb.path("lb.yaml")).unwrap();
    for piece in half.as_bytes().chunks(half.len().div_ceil(8)) {
        file.write_all(piece).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    file.write_all(rest.as_bytes()).unwrap();
    let writing = begun.elapsed();
    lb.metric_becomes(RELOADS, APPLIED, 1.0).await;
    assert_eq!(served(&lb).await, "second");
    if writing < Duration::from_secs(1) {
        assert_eq!(lb.metric(RELOADS, FAILED).await, 0.0, "written in {writing:?}");
    }
}

/// As Kubernetes mounts a ConfigMap: the file is a link through `..data`, which is
/// swapped as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_directory_above_it_is_seen() {
    let (first, _) = origin("first").await;
    let (second, _) = origin("second").await;
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let publish = |version: &str, yaml: &Yaml| {
        fs::create_dir(path(version)).unwrap();
        fs::write(path(version).join("lb.yaml"), Lb::written(&yaml.to_string())).unwrap();
        symlink(version, path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
    };
    let mut yaml = Yaml::new(&first);
    yaml.top("reload", "{ watch: true }");
    // The directory of the process's own is not where its file is.
    publish("..2026_1", &yaml);
    symlink("..data/lb.yaml", path("lb.yaml")).unwrap();
    let lb = Lb::start_from(&path("lb.yaml")).await;
    assert_eq!(served(&lb).await, "first");
    yaml.upstream("api", &[second.address]);
    publish("..2026_2", &yaml);
    fs::remove_dir_all(path("..2026_1")).unwrap();
    lb.metric_becomes(RELOADS, APPLIED, 1.0).await;
    assert_eq!(served(&lb).await, "second");
    assert_eq!(lb.metric(RELOADS, FAILED).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_tried_once() {
    let (_one, _two, _, second, lb) = watching().await;
    lb.rewrite_with("listeners: [");
    lb.metric_becomes(RELOADS, FAILED, 1.0).await;
    // As touch does: a change, and the same.
    let file = OpenOptions::new().append(true).open(lb.path("lb.yaml")).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    lb.metric_becomes(RELOADS, FAILED, 2.0).await;
    assert_eq!(served(&lb).await, "first");
    // Away for a while: an editor, or somebody's mistake.
    fs::remove_file(lb.path("lb.yaml")).unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(lb.metric(RELOADS, FAILED).await, 2.0, "it was tried once");
    lb.rewrite(&second.to_string());
    lb.metric_becomes(RELOADS, APPLIED, 1.0).await;
    assert_eq!(served(&lb).await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_begins_and_ends_with_a_reload() {
    let (_one, _two, mut first, mut second, lb) = watching().await;
    first.top.remove("reload");
    second.top.remove("reload");
    lb.rewrite(&second.to_string());
    lb.metric_becomes(RELOADS, APPLIED, 1.0).await;
    assert_eq!(served(&lb).await, "second");
    lb.rewrite(&first.to_string());
    // Three looks, and one to spare.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(lb.reloads().await, 1.0, "nobody looks");
    first.top("reload", "{ watch: true }");
    lb.reload(&first.to_string()).await;
    lb.rewrite(&second.to_string());
    lb.metric_becomes(RELOADS, APPLIED, 3.0).await;
    assert_eq!(served(&lb).await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_while_the_process_stops_is_said_once() {
    let (first, _) = origin("first").await;
    let mut yaml = Yaml::new(&first);
    yaml.top("reload", "{ watch: true }").top("shutdown", "{ delay: 1h }");
    let lb = start(&yaml).await;
    lb.signal("TERM");
    lb.logged("stopping").await;
    lb.rewrite(&yaml.with_unrelated(1).to_string());
    let said = "the process is stopping; the configuration is not read again";
    lb.logged(said).await;
    // Two looks more, and some.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(lb.log().matches(said).count(), 1, "{}", lb.log());
    assert_eq!(served(&lb).await, "first");
}

/// `sed -i`, `cp` and an editor that keeps a copy.
#[tokio::test(flavor = "multi_thread")]
async fn tools_are_understood() {
    let (one, two, _, _, lb) = watching().await;
    let (from, to) = (one.address.to_string(), two.address.to_string());
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        let status = shell.args(["-c", script]).current_dir(lb.directory.path()).status();
        assert!(status.unwrap().success());
    };
    shell(&format!("sed -i 's/{from}/{to}/' lb.yaml"));
    lb.metric_becomes(RELOADS, APPLIED, 1.0).await;
    assert_eq!(served(&lb).await, "second");
    shell(&format!("sed 's/{to}/{from}/' lb.yaml > other.yaml && cp other.yaml lb.yaml"));
    lb.metric_becomes(RELOADS, APPLIED, 2.0).await;
    assert_eq!(served(&lb).await, "first");
    shell(&format!("mv lb.yaml lb.yaml~ && sed 's/{from}/{to}/' lb.yaml~ > lb.yaml"));
    lb.metric_becomes(RELOADS, APPLIED, 3.0).await;
    assert_eq!(served(&lb).await, "second");
    assert_eq!(lb.metric(RELOADS, FAILED).await, 0.0);
}
