//! What is told of operations that were answered.

use super::told::Ask;
use super::{ClientWrite, ReadMachine, Surroundings, WriteMachine};
use crate::bucket::Resolution;
use crate::causality::Object;
use crate::ids::BucketName;
use crate::operation::{OperationError, ReadReply, WriteReply};
use crate::sli::{Observation, OperationOutcome, ReadObserved, WriteObserved};
use crate::time::Moment;

/// A read that was answered.
pub(super) fn read_observed(
    around: Surroundings<'_>,
    bucket: &BucketName,
    (read, began): (&ReadMachine, Moment),
    result: &Result<ReadReply, OperationError>,
) -> Observation {
    let duration_us = around.now.micros_since(began);
    let began_wall = around.wall.0.saturating_sub(duration_us);
    let object = result.as_ref().ok().and_then(|reply| reply.object.as_ref());
    let written = object.and_then(Object::newest);
    Observation::Read(ReadObserved {
        bucket: bucket.clone(),
        began,
        r: read.r(),
        outcome: OperationOutcome::of(result),
        duration_us,
        value_age_us: written.map(|written| began_wall.saturating_sub(written.wall().0)),
        siblings: object.map_or(0, |object| u16::try_from(object.siblings().len()).unwrap_or(u16::MAX)),
        sampled: read.is_sampled() && result.is_ok(),
    })
}

/// A write that was answered. Its duration is told where its client asked.
pub(super) fn write_observed(
    bucket: &BucketName,
    write: &ClientWrite,
    (duration_us, resolution): (Option<u64>, Resolution),
    result: &Result<WriteReply, OperationError>,
) -> Observation {
    let here = write.here();
    let lagging = match result {
        Ok(_) | Err(OperationError::Deadline { .. } | OperationError::NotReached { .. }) => {
            here.map(WriteMachine::lagging).unwrap_or_default()
        }
        Err(_) => Vec::new(),
    };
    Observation::Write(WriteObserved {
        bucket: bucket.clone(),
        outcome: OperationOutcome::of(result),
        // What a home refuses that was handed a write, another may carry out; else whoever handed it on counts it.
        counted: match duration_us {
            Some(_) => here.is_some() || OperationOutcome::not_taken_elsewhere(result),
            None => here.is_some() && !OperationOutcome::not_taken_elsewhere(result),
        },
        duration_us,
        lagging,
        conflict: here.is_some_and(WriteMachine::conflict),
        resolution,
    })
}

/// A client's operation that was refused with `error` before anything was done. Of one that another node hands on that
/// node tells.
pub(super) fn refused(around: Surroundings<'_>, ask: &Ask, error: &OperationError) -> Option<Observation> {
    let (now, buckets, outcome) = (around.now, around.view.buckets, OperationOutcome::of_error(error));
    match ask {
        Ask::Read(read) => Some(Observation::Read(ReadObserved {
            bucket: read.bucket.clone(),
            began: now,
            r: read.r.unwrap_or(buckets.settings(&read.bucket).quorum.r),
            outcome,
            duration_us: 0,
            value_age_us: None,
            siblings: 0,
            sampled: false,
        })),
        Ask::Write(write, _) => Some(Observation::Write(WriteObserved {
            bucket: write.bucket.clone(),
            outcome,
            counted: true,
            duration_us: Some(0),
            lagging: Vec::new(),
            conflict: false,
            resolution: buckets.settings(&write.bucket).resolution,
        })),
        Ask::Forwarded { .. } => None,
    }
}
