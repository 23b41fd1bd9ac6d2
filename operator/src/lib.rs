//! The operator: schedules runners, coordinates them, merges what they measure.
