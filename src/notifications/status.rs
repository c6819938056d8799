//! `Status`: what became of a notification on one channel, and `ScheduleStatus` of one that waits for its time.

use super::words::words;

words! {
    /// What became of a notification on one channel.
    Status ("status") {
        /// It waits for its time, or for another try.
        Pending = "pending",
        /// It was handed over; whether it arrived is not known yet.
        Sent = "sent",
        /// It arrived; for good.
        Delivered = "delivered",
        /// It was tried as often as it may be, or could not be tried; for good.
        Failed = "failed",
        /// The receiving side gave it back; for good.
        Bounced = "bounced",
    }
}

words! {
    /// What became of a scheduled notification. There is no word for being sent just now: a lease says that.
    ScheduleStatus ("status") {
        /// It waits for its time.
        Pending = "pending",
        /// It went out; for good.
        Delivered = "delivered",
        /// It could not; it may be tried again by hand.
        Failed = "failed",
        /// It was called off; for good.
        Cancelled = "cancelled",
    }
}

impl Status {
    /// Whether a notification may go from here to `next`. An e-mail may come back after its server took it.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Sent | Self::Delivered | Self::Failed | Self::Bounced)
                | (Self::Sent, Self::Delivered | Self::Failed | Self::Bounced)
                | (Self::Delivered, Self::Bounced)
        )
    }
}

impl ScheduleStatus {
    /// Whether a scheduled notification may go from here to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Delivered | Self::Failed | Self::Cancelled) | (Self::Failed, Self::Pending)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_back_what_it_writes() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        for status in ScheduleStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
    }

    #[test]
    fn what_ended_does_not_begin_again() {
        let ends = [Status::Failed, Status::Bounced];
        for (from, to) in ends.iter().flat_map(|from| Status::ALL.iter().map(move |to| (from, to))) {
            assert!(!from.may_become(*to), "{from} to {to}");
        }
        assert!(Status::Pending.may_become(Status::Sent) && !Status::Sent.may_become(Status::Pending));
    }

    #[test]
    fn what_failed_may_be_tried_again_and_what_was_called_off_may_not() {
        use ScheduleStatus::{Cancelled, Delivered, Failed, Pending};
        assert!(Failed.may_become(Pending) && Pending.may_become(Cancelled));
        for ended in [Cancelled, Delivered] {
            assert!(ScheduleStatus::ALL.iter().all(|next| !ended.may_become(*next)), "{ended}");
        }
    }
}
