//! The cluster's secret, from which the handshake, context tokens and Merkle trees derive their keys.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Config;

/// The shortest secret that is accepted, in bytes.
pub const SECRET_MIN: usize = 16;

/// The longest, in bytes.
pub const SECRET_MAX: usize = 4_096;

/// What all nodes of a cluster know and nobody else. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The secret's bytes. Keys are derived from them, never used as they are.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Why there is no secret. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cluster.secret_file = {path:?}: {cause}; accepted: a readable file")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file holds too little or too much to be a secret.
    #[error(
        "cluster.secret_file = {path:?}: holds {bytes} bytes, space around them left out; accepted: \
         {SECRET_MIN} to {SECRET_MAX} bytes"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes in it, at most one beyond the longest.
        bytes: usize,
    },
}

/// The secret in `cluster.secret_file`, white space around it left out; without a file, one derived from
/// `cluster.name`, which keeps clusters apart and strangers not.
pub fn cluster_secret(config: &Config) -> Result<Secret, SecretError> {
    match &config.cluster.secret_file {
        Some(path) => from_file(path),
        None => {
            let mut hash = Sha256::new();
            hash.update(b"neap cluster secret of the name ");
            hash.update(config.cluster.name.as_bytes());
            Ok(Secret(hash.finalize().to_vec()))
        }
    }
}

fn from_file(path: &Path) -> Result<Secret, SecretError> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(2 * SECRET_MAX as u64).read_to_end(&mut content))
        .map_err(|cause| SecretError::Unreadable { path: path.to_owned(), cause })?;
    let secret = content.trim_ascii();
    if (SECRET_MIN..=SECRET_MAX).contains(&secret.len()) {
        Ok(Secret(secret.to_vec()))
    } else {
        Err(SecretError::Length { path: path.to_owned(), bytes: secret.len().min(SECRET_MAX + 1) })
    }
}
