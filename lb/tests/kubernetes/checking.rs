//! `lb check`, which asks no cluster.

use std::process::Command;

use crate::scene::Scene;

#[tokio::test]
async fn a_configuration_is_checked_without_any_cluster() {
    let scene = Scene::on_stub().await;
    let check = |yaml: &str| {
        let path = scene.path("lb.yaml");
        std::fs::write(&path, format!("version: 1\n{yaml}")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_lb"))
            .args(["check", "--config"])
            .arg(path)
            .env_remove("KUBECONFIG")
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("HOME", scene.path("home"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let good = scene.yaml("");
    let (passes, said) = check(&good);
    assert!(passes, "{said}");
    assert_eq!(scene.cluster.api().asked().len(), 0, "it has asked");
    // A kubeconfig that is nowhere, and none at all.
    std::fs::remove_file(scene.kubeconfig()).unwrap();
    let (passes, said) = check(&good);
    assert!(passes, "{said}");
    let line = good.lines().find(|line| line.starts_with("kubernetes:")).unwrap();
    let (passes, said) = check(&good.replace(line, ""));
    assert!(passes, "{said}");
    // It does look at what it is given.
    for (part, wrong, path) in [
        ("service: api", "service: Api", "upstreams.api.endpoints_from.kubernetes.service"),
        ("port: http", "port: 0", "upstreams.api.endpoints_from.kubernetes.port"),
        (", port: http", "", "upstreams.api.endpoints_from.kubernetes"),
        ("timeout: 10s", "timeout: 1h", "kubernetes.timeout"),
        ("timeout: 10s", "clusters: 3", "kubernetes"),
    ] {
        assert!(good.contains(part), "{part}");
        let (passes, said) = check(&good.replace(part, wrong));
        assert!(!passes && said.contains(path), "{wrong}: {said}");
    }
}
