//! One typed configuration: file, environment and flags, validated at start.
