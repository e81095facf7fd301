//! Tests of causality.
