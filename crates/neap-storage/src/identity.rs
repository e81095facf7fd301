//! The file that says whose data a directory holds.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::directory::{DirectoryError, Expectation};
use neap_protocol::ids::DirectoryId;

/// The name of the identity file.
pub(super) const FILE: &str = "neap.toml";

/// Where the next identity file is written before it takes the place of the last.
pub(super) const TEMPORARY_FILE: &str = "neap.toml.new";

/// The format of data directories that this program makes, and the only one it opens.
pub(super) const FORMAT: u32 = 2;

const HEADING: &str = "\
# Whose data this directory holds. Written by neap; not to be edited.
# A copy of this directory must never run beside the original: give it a new identity
# with `neap node --new-directory-id` first.
";

/// How far the making of a directory has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// Its store is not whole yet and holds nothing.
    Creating,
    /// Its store may hold data.
    Ready,
}

/// What the identity file says. The format comes first, so that all others can be judged by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    format: u32,
    cluster: String,
    node: String,
    partitions: u32,
    directory: String,
    stage: Stage,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Identity {
    /// That of a new directory.
    pub(super) fn new(expected: &Expectation, directory: DirectoryId) -> Self {
        Self {
            format: FORMAT,
            cluster: expected.cluster.clone(),
            node: expected.node.to_string(),
            partitions: expected.partitions,
            directory: directory.to_string(),
            stage: Stage::Creating,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn set_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    pub(super) fn set_directory(&mut self, directory: DirectoryId) {
        self.directory = directory.to_string();
    }

    /// The directory's id.
    pub(super) fn directory(&self, path: &Path) -> Result<DirectoryId, DirectoryError> {
        u64::from_str_radix(&self.directory, 16).map(DirectoryId).map_err(|_| DirectoryError::Identity {
            path: path.join(FILE),
            reason: format!("directory = {:?} is not 16 hexadecimal digits", self.directory),
        })
    }

    /// Refuses, by name, what is not the data of the node that asks.
    pub(super) fn check(&self, path: &Path, expected: &Expectation) -> Result<(), DirectoryError> {
        let mismatch = |what, found: String, expected: String| {
            Err(DirectoryError::Mismatch { path: path.to_owned(), what, found, expected })
        };
        let Expectation { cluster, node, partitions } = expected;
        if self.cluster != *cluster {
            return mismatch("cluster", self.cluster.clone(), cluster.clone());
        }
        if self.node != node.as_str() {
            return mismatch("node", self.node.clone(), node.to_string());
        }
        if self.partitions != *partitions {
            return mismatch("number of partitions", self.partitions.to_string(), partitions.to_string());
        }
        Ok(())
    }

    /// Reads the identity file of the directory `path`; none if there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, DirectoryError> {
        let file = path.join(FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DirectoryError::io("read", &file, &error)),
        };
        let unreadable = |error: toml::de::Error| DirectoryError::Identity {
            path: file.clone(),
            reason: error.message().to_owned(),
        };
        let FormatOnly { format } = toml::from_str(&text).map_err(unreadable)?;
        if format != FORMAT {
            return Err(DirectoryError::Mismatch {
                path: path.to_owned(),
                what: "format",
                found: format.to_string(),
                expected: FORMAT.to_string(),
            });
        }
        toml::from_str(&text).map(Some).map_err(unreadable)
    }

    /// Puts this identity in the place of the last, durably and all or nothing.
    pub(super) fn write(&self, path: &Path) -> Result<(), DirectoryError> {
        let file = path.join(FILE);
        let temporary = path.join(TEMPORARY_FILE);
        let fields = toml::to_string(self)
            .map_err(|error| DirectoryError::Identity { path: file.clone(), reason: error.to_string() })?;
        File::create(&temporary)
            .and_then(|mut new| {
                new.write_all(HEADING.as_bytes())?;
                new.write_all(fields.as_bytes())?;
                new.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &file))
            .and_then(|()| sync_directory(path))
            .map_err(|error| DirectoryError::io("write", &file, &error))
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}
