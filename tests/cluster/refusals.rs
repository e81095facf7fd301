use std::process::{Command, Stdio};

#[test]
fn a_second_process_on_a_data_directory_is_refused_by_name() {
    super::run(async {
        let (cluster, directory) = super::cluster(3, &[]).await;
        // It could listen elsewhere: only the directory stands in its way.
        let free = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [peer, http] = free.map(|listener| listener.local_addr().unwrap());
        let second = Command::new(env!("CARGO_BIN_EXE_neap"))
            .args(["node", "--set", &format!("peer.listen={peer}"), "--set", &format!("http.listen={http}")])
            .arg("--config")
            .arg(directory.path().join("n1.toml"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(second.status.code(), Some(1), "{second:?}");
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(said.contains("another process") && said.contains("n1"), "{said}");
        drop(cluster);
    });
}
