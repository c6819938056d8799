//! `Absence`: that something has gone is told to back ends after a grace, and neither its going nor its coming
//! when it is back by then (a page that is loaded anew leaves and comes). Pure.

use crate::domain::ChannelFact;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// What may be gone; in the order in which it is told when it is due at one time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A member, by user id.
    Member(Arc<str>),
    /// All subscribers.
    Subscribers,
}

/// What is gone and has not been told yet.
#[derive(Debug, Default)]
pub struct Absence {
    gone: HashMap<Subject, Instant>,
    due: BTreeSet<(Instant, Subject)>,
    over: bool,
}

impl Absence {
    /// It is there; what to tell, unless nobody was told that it was gone.
    pub fn came(&mut self, subject: Subject) -> Option<ChannelFact> {
        if self.over {
            return None;
        }
        if let Some(at) = self.gone.remove(&subject) {
            self.due.remove(&(at, subject));
            return None;
        }
        Some(match subject {
            Subject::Member(user) => ChannelFact::MemberAdded(user),
            Subject::Subscribers => ChannelFact::Occupied,
        })
    }

    /// It is gone, which is to be told at `due`.
    pub fn went(&mut self, subject: Subject, due: Instant) {
        if self.over {
            return;
        }
        if let Some(before) = self.gone.insert(subject.clone(), due) {
            self.due.remove(&(before, subject.clone()));
        }
        self.due.insert((due, subject));
    }

    /// What is to be told by now, oldest first.
    pub fn tell(&mut self, now: Instant) -> Vec<ChannelFact> {
        let mut facts = Vec::new();
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, subject)) = self.due.pop_first() else { break };
            self.gone.remove(&subject);
            facts.push(match subject {
                Subject::Member(user) => ChannelFact::MemberRemoved(user),
                Subject::Subscribers => ChannelFact::Vacated,
            });
        }
        facts
    }

    /// The process is about to end: everything that is gone is told now, oldest first. Who goes or comes after this
    /// does so because of it, and is no news.
    pub fn conclude(&mut self) -> Vec<ChannelFact> {
        self.over = true;
        let last = self.due.last().map(|(at, _)| *at);
        last.map(|at| self.tell(at)).unwrap_or_default()
    }

    /// Whether it was concluded.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// When there is something to tell next.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const GRACE: Duration = Duration::from_secs(3);

    #[test]
    fn what_stays_away_is_told_once_when_the_grace_is_over() {
        let (mut absence, now) = (Absence::default(), Instant::now());
        assert_eq!(absence.came(Subject::Subscribers), Some(ChannelFact::Occupied));
        absence.went(Subject::Subscribers, now + GRACE);
        assert!(absence.tell(now + GRACE / 2).is_empty());
        assert_eq!(absence.tell(now + GRACE), [ChannelFact::Vacated]);
        assert!(absence.tell(now + GRACE * 2).is_empty());
        assert_eq!(absence.came(Subject::Subscribers), Some(ChannelFact::Occupied));
    }

    #[test]
    fn what_comes_back_within_the_grace_was_never_away() {
        let (mut absence, now) = (Absence::default(), Instant::now());
        let ana = Subject::Member("1".into());
        absence.went(ana.clone(), now + GRACE);
        assert_eq!(absence.came(ana), None);
        assert!(absence.next_due().is_none() && absence.tell(now + GRACE * 2).is_empty());
    }

    #[test]
    fn the_end_of_the_process_tells_who_is_gone_and_nobody_after_that() {
        let (mut absence, now) = (Absence::default(), Instant::now());
        absence.went(Subject::Subscribers, now + GRACE * 2);
        absence.went(Subject::Member("1".into()), now + GRACE);
        assert_eq!(absence.conclude(), [ChannelFact::MemberRemoved("1".into()), ChannelFact::Vacated]);
        absence.went(Subject::Member("2".into()), now + GRACE);
        assert_eq!(absence.came(Subject::Subscribers), None);
        assert!(absence.next_due().is_none() && absence.conclude().is_empty());
    }

    #[test]
    fn the_last_member_goes_before_the_channel_is_vacated() {
        let (mut absence, now) = (Absence::default(), Instant::now());
        absence.went(Subject::Subscribers, now);
        absence.went(Subject::Member("1".into()), now);
        assert_eq!(absence.tell(now), [ChannelFact::MemberRemoved("1".into()), ChannelFact::Vacated]);
    }

    proptest! {
        /// Coming and going of each is told alternately, and what is told in the end is the truth.
        #[test]
        fn coming_and_going_alternate(steps in proptest::collection::vec((0_u8..3, 0_u64..4_000), 0..100)) {
            let (mut absence, mut now) = (Absence::default(), Instant::now());
            let (mut there, mut told) = ([false; 3], [false; 3]);
            let mut facts = Vec::new();
            for (n, wait) in steps {
                now += Duration::from_millis(wait);
                facts.extend(absence.tell(now));
                let subject = Subject::Member(n.to_string().into());
                there[usize::from(n)] ^= true;
                if there[usize::from(n)] {
                    facts.extend(absence.came(subject));
                } else {
                    absence.went(subject, now + GRACE);
                }
            }
            facts.extend(absence.tell(now + GRACE));
            prop_assert!(absence.next_due().is_none());
            for fact in facts {
                let (ChannelFact::MemberAdded(user) | ChannelFact::MemberRemoved(user)) = &fact else { continue };
                let told = &mut told[user.parse::<usize>().unwrap()];
                prop_assert_ne!(*told, matches!(fact, ChannelFact::MemberAdded(_)));
                *told = !*told;
            }
            prop_assert_eq!(told, there);
        }
    }
}
