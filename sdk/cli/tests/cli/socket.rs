//! The server of this machine: by its socket, or not at all.

use std::fs::{Permissions, create_dir};
use std::os::unix::fs::PermissionsExt;

use crate::fake::Fake;
use crate::harness::Micro;

fn home(micro: &Micro) {
    create_dir(micro.home()).unwrap();
    std::fs::set_permissions(micro.home(), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn its_user_needs_no_login() {
    let micro = Micro::alone();
    home(&micro);
    let fake = Fake::on_socket(&micro.home().join("server.sock"));
    for env in [&[][..], &["--env", "server"], &["--server"], &["--env", "local"]] {
        let args = [&["list", "services"], env].concat();
        assert_eq!(micro.stdout(&args), "api\nhelloworld\nregistry\n", "{args:?}");
    }
    assert_eq!(micro.stdout(&["whoami"]), "ID: operator; Scopes: owner\n");
    assert!(fake.seen().accounts.requests.iter().all(|(_, credential, _)| credential.is_empty()));
    let error = micro.stderr(&["user", "token"]);
    assert!(error.contains("its socket is enough"), "{error}");
}

#[test]
fn a_login_and_a_chosen_namespace_go_by_the_socket_too() {
    let micro = Micro::alone();
    home(&micro);
    let fake = Fake::on_socket(&micro.home().join("server.sock"));
    assert_eq!(micro.stderr(&["user", "namespace", "set", "nosuch"]), "namespace not found\n");
    micro.stdout(&["user", "namespace", "set", "slow-blue-owl"]);
    assert_eq!(micro.stdout(&["user", "namespace"]), "slow-blue-owl\n");
    assert_eq!(micro.stdout(&["user", "namespace", "--namespace", "default"]), "default\n");
    micro.stdout(&["login", "jane", "secret"]);
    assert_eq!(micro.stdout(&["whoami"]), "ID: jane-1; Scopes: owner, billing\n");
    let (_, credential, _) = fake.seen().accounts.requests.last().unwrap().clone();
    assert!(credential.starts_with("Bearer access."), "{credential}");
}

#[test]
fn without_a_socket_nothing_is_sent_anywhere() {
    let micro = Micro::alone();
    let error = micro.stderr(&["list", "services"]);
    assert!(error.starts_with("cannot reach a server at 127.0.0.1:8081: there is no socket "), "{error}");
    assert!(error.contains("start one with `micro server`"), "{error}");
}

#[test]
fn a_socket_that_others_could_replace_is_refused() {
    let mut micro = Micro::alone();
    let folder = micro.work().join("shared");
    create_dir(&folder).unwrap();
    let socket = folder.join("server.sock");
    let fake = Fake::on_socket(&socket);
    micro.set("MICRO_SOCKET", socket.to_str().unwrap());
    std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let error = micro.stderr(&["list", "services"]);
    assert!(error.contains("is open to other users"), "{error}");
    let findings = micro.run(&["doctor"]).stdout;
    assert!(findings.contains("FAIL  socket"), "{findings}");
    assert!(fake.seen().accounts.requests.is_empty());
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(micro.stdout(&["list", "services"]), "api\nhelloworld\nregistry\n");
    let findings = micro.run(&["doctor"]).stdout;
    assert!(findings.contains("ok    socket"), "{findings}");
}

#[test]
fn what_is_no_socket_is_refused() {
    let micro = Micro::alone();
    home(&micro);
    std::fs::write(micro.home().join("server.sock"), "").unwrap();
    let error = micro.stderr(&["list", "services"]);
    assert!(error.contains("is no socket"), "{error}");
}
