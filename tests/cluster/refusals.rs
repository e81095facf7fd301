use std::process::{Command, Stdio};

#[test]
fn a_second_process_on_a_data_directory_is_refused_by_name() {
    super::run(async {
        let (cluster, directory) = super::cluster(3, &[]).await;
        let second = Command::new(env!("CARGO_BIN_EXE_neap"))
            .args([
                "node",
                "--set",
                "http.listen=127.0.0.1:0",
                "--set",
                "peer.listen=127.0.0.1:0",
                "--config",
            ])
            .arg(directory.path().join("n1.toml"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(second.status.code(), Some(1));
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(said.contains("another process") && said.contains("n1"), "{said}");
        drop(cluster);
    });
}
