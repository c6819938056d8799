//! `Life`: what a channel is beside its stream of messages: who is present, its last event, how many they are, and
//! what back ends are told of it. Pure: who comes and goes and the time go in, news comes out.

use super::absence::{Absence, Subject};
use super::cache::{Cache, Found};
use super::count::Count;
use super::presence::{Joined, Member, Presence};
use crate::config::{App, Channels};
use crate::domain::{ChannelFact, ChannelKind, ChannelName, SocketId};
use crate::realtime::frame::{Departure, Frame};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bounds and times of every channel.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Members of a presence channel.
    pub members: usize,
    presence_grace: Duration,
    vacated_grace: Duration,
    cache_ttl: Duration,
}

impl Rules {
    /// What the settings say.
    pub const fn of(channels: &Channels, members: usize) -> Self {
        Self {
            members,
            presence_grace: Duration::from_millis(channels.presence_grace_ms),
            vacated_grace: Duration::from_millis(channels.vacated_grace_ms),
            cache_ttl: Duration::from_secs(channels.cache_ttl_seconds),
        }
    }
}

/// One channel's.
#[derive(Debug)]
pub struct Life {
    rules: Rules,
    /// In presence channels.
    presence: Option<Presence>,
    /// In cache channels.
    cache: Option<Cache>,
    /// Where subscribers are told how many they are.
    count: Option<Count>,
    /// Where back ends are told anything.
    absence: Option<Absence>,
}

/// Something to tell.
#[derive(Debug, Clone)]
pub enum News {
    /// To all subscribers but the one: a member came.
    MemberAdded(Member, SocketId),
    /// To all subscribers: a member went.
    MemberRemoved(Arc<str>),
    /// To all subscribers: how many they are.
    Count(usize),
    /// To back ends.
    Fact(ChannelFact),
}

impl Life {
    /// Of a new channel; `told` = back ends are told what happens in it.
    pub fn new(rules: Rules, app: &App, name: &ChannelName, told: bool) -> Self {
        let kind = name.kind();
        let counted = !matches!(kind, ChannelKind::Presence | ChannelKind::ServerToUser);
        let present = kind == ChannelKind::Presence;
        Self {
            rules,
            presence: present.then(|| Presence::new(rules.members, rules.presence_grace)),
            cache: name.is_cache().then(|| Cache::new(rules.cache_ttl)),
            count: (counted && app.subscription_count).then(Count::default),
            absence: told.then(Absence::default),
        }
    }

    /// A socket is about to subscribe, as this member where there are members.
    pub fn join(&mut self, socket: SocketId, member: Option<&Member>, now: Instant) -> Joined {
        match (&mut self.presence, member) {
            (Some(presence), Some(member)) => presence.join(socket, member, now),
            _ => Joined::Again,
        }
    }

    /// It has subscribed, and there are `subscribers` now; `first` is the member that it joined as the first
    /// socket of.
    pub fn came(
        &mut self,
        socket: SocketId,
        first: Option<Member>,
        subscribers: usize,
        now: Instant,
    ) -> Vec<News> {
        let mut news = Vec::new();
        if subscribers == 1 {
            news.extend(self.back(Subject::Subscribers));
        }
        if let Some(member) = first {
            news.extend(self.back(Subject::Member(member.user_id.clone())));
            news.push(News::MemberAdded(member, socket));
        }
        self.recount(subscribers, now, &mut news);
        news
    }

    /// A socket has left, and there are `subscribers` now.
    pub fn left(&mut self, socket: SocketId, how: Departure, subscribers: usize, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        if let Some(user) = self.presence.as_mut().and_then(|p| p.leave(socket, how, now)) {
            if let Some(absence) = &mut self.absence {
                absence.went(Subject::Member(user.clone()), now + self.rules.presence_grace);
            }
            news.push(News::MemberRemoved(user));
        }
        if let (0, Some(absence)) = (subscribers, &mut self.absence) {
            absence.went(Subject::Subscribers, now + self.rules.vacated_grace);
        }
        self.recount(subscribers, now, &mut news);
        news
    }

    /// What has become due by now.
    pub fn tick(&mut self, subscribers: usize, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        for user in self.presence.iter_mut().flat_map(|presence| presence.expire(now)) {
            // The grace that back ends are owed is over as well.
            if self.absence.as_ref().is_some_and(|absence| !absence.is_over()) {
                news.push(News::Fact(ChannelFact::MemberRemoved(user.clone())));
            }
            news.push(News::MemberRemoved(user));
        }
        if let Some(absence) = &mut self.absence {
            news.extend(absence.tell(now).into_iter().map(News::Fact));
        }
        if self.count.as_mut().is_some_and(|count| count.tick(now)) {
            self.tell_count(subscribers, &mut news);
        }
        news
    }

    /// The process is about to end: what back ends are told of who is gone already, without waiting for any grace.
    pub fn conclude(&mut self) -> Vec<News> {
        let Some(absence) = self.absence.as_mut().filter(|absence| !absence.is_over()) else {
            return Vec::new();
        };
        let broken = self.presence.iter().flat_map(Presence::broken);
        let mut facts: Vec<ChannelFact> =
            broken.map(|user| ChannelFact::MemberRemoved(user.clone())).collect();
        facts.extend(absence.conclude());
        facts.into_iter().map(News::Fact).collect()
    }

    /// When [`Life::tick`] has something to do next; `None` while nothing is under way.
    pub fn next_due(&self, subscribers: usize) -> Option<Instant> {
        let presence = self.presence.as_ref().and_then(Presence::next_due);
        let absence = self.absence.as_ref().and_then(Absence::next_due);
        let count = self.count.as_ref().and_then(Count::next_due);
        let cache = self.cache.as_ref().filter(|_| subscribers == 0).and_then(Cache::until);
        [presence, absence, count, cache].into_iter().flatten().min()
    }

    /// Whether a channel without subscribers holds nothing that it has to live on for.
    pub fn is_over(&self, now: Instant) -> bool {
        self.presence.as_ref().is_none_or(Presence::is_empty)
            && self.absence.as_ref().is_none_or(|absence| absence.next_due().is_none())
            && self.cache.as_ref().and_then(Cache::until).is_none_or(|until| until <= now)
    }

    /// Who is present, in a presence channel.
    pub const fn presence(&self) -> Option<&Presence> {
        self.presence.as_ref()
    }

    /// Back ends published `data`, encoded as `frame`.
    pub fn keep(&mut self, data: &Arc<str>, frame: &Frame, now: Instant) {
        if let Some(cache) = &mut self.cache {
            cache.keep(data, frame, now);
        }
    }

    /// What a newcomer to a cache channel is given, and what back ends are told of it.
    pub fn find(&mut self, now: Instant) -> Option<(Found, Option<News>)> {
        let found = self.cache.as_mut()?.find(now);
        let told = self.absence.is_some() && matches!(found, Found::Miss { first: true });
        Some((found, told.then_some(News::Fact(ChannelFact::CacheMiss))))
    }

    /// The data of a cache channel's last event and how long it is kept yet.
    pub fn cached(&self, now: Instant) -> Option<(&Arc<str>, Duration)> {
        self.cache.as_ref()?.content(now)
    }

    fn back(&mut self, subject: Subject) -> Option<News> {
        self.absence.as_mut()?.came(subject).map(News::Fact)
    }

    fn recount(&mut self, subscribers: usize, now: Instant, news: &mut Vec<News>) {
        if self.count.as_mut().is_some_and(|count| count.changed(subscribers, now)) {
            self.tell_count(subscribers, news);
        }
    }

    fn tell_count(&self, subscribers: usize, news: &mut Vec<News>) {
        if subscribers > 0 {
            news.push(News::Count(subscribers));
        }
        if self.absence.is_some() {
            news.push(News::Fact(ChannelFact::SubscriptionCount(subscribers)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    const GRACE: Duration = Duration::from_secs(3);

    fn life(name: &str, told: bool) -> (Life, Instant) {
        let app = App { subscription_count: true, ..App::new("1", "key", Secret::new("secret")) };
        let rules = Rules::of(&Channels::default(), 100);
        (Life::new(rules, &app, &ChannelName::parse(name).unwrap(), told), Instant::now())
    }

    fn socket(bits: u64) -> SocketId {
        SocketId::from_bits(bits)
    }

    /// The n-th socket subscribes as this user and is the only one.
    fn enter(life: &mut Life, n: u64, user: &str, now: Instant) -> Vec<String> {
        let member = Member::named(user, "x");
        let first = life.join(socket(n), Some(&member), now) == Joined::First;
        told(&life.came(socket(n), first.then_some(member), 1, now))
    }

    fn told(news: &[News]) -> Vec<String> {
        let word = |news: &News| match news {
            News::MemberAdded(member, _) => format!("+{}", member.user_id),
            News::MemberRemoved(user) => format!("-{user}"),
            News::Count(count) => format!("{count}"),
            News::Fact(fact) => match fact {
                ChannelFact::MemberAdded(user) | ChannelFact::MemberRemoved(user) => {
                    format!("{} {user}", fact.name())
                }
                ChannelFact::SubscriptionCount(count) => format!("{} {count}", fact.name()),
                _ => fact.name().to_owned(),
            },
        };
        news.iter().map(word).collect()
    }

    #[test]
    fn a_member_who_leaves_on_purpose_goes_at_once_and_back_ends_hear_it_after_the_grace() {
        let (mut life, now) = life("presence-room", true);
        assert_eq!(enter(&mut life, 1, "7", now), ["channel_occupied", "member_added 7", "+7"]);
        assert_eq!(told(&life.left(socket(1), Departure::Unsubscribed, 0, now)), ["-7"]);
        assert_eq!(life.next_due(0), Some(now + GRACE));
        assert!(!life.is_over(now) && life.tick(0, now + GRACE / 2).is_empty());
        assert_eq!(told(&life.tick(0, now + GRACE)), ["member_removed 7", "channel_vacated"]);
        assert!(life.is_over(now + GRACE) && life.next_due(0).is_none());
    }

    #[test]
    fn who_loads_the_page_anew_is_no_news_to_anyone() {
        let (mut life, now) = life("presence-room", true);
        enter(&mut life, 1, "7", now);
        assert!(life.left(socket(1), Departure::Away, 0, now).is_empty());
        assert!(enter(&mut life, 2, "7", now + GRACE / 2).is_empty());
        assert!(life.tick(1, now + GRACE * 2).is_empty() && life.next_due(1).is_none());
    }

    #[test]
    fn who_leaves_and_comes_again_within_the_grace_is_news_to_members_and_none_to_back_ends() {
        let (mut life, now) = life("presence-room", true);
        enter(&mut life, 1, "7", now);
        assert_eq!(told(&life.left(socket(1), Departure::Closed, 0, now)), ["-7"]);
        assert_eq!(enter(&mut life, 2, "7", now + GRACE / 2), ["+7"]);
        assert!(life.tick(1, now + GRACE * 2).is_empty());
    }

    #[test]
    fn who_broke_off_and_stays_away_goes_once_for_all() {
        let (mut life, now) = life("presence-room", true);
        enter(&mut life, 1, "7", now);
        assert!(life.left(socket(1), Departure::Broken, 0, now).is_empty());
        assert_eq!(told(&life.tick(0, now + GRACE)), ["member_removed 7", "-7", "channel_vacated"]);
        assert!(life.is_over(now + GRACE));
    }

    #[test]
    fn the_end_of_the_process_tells_back_ends_who_is_gone_and_not_whom_it_drives_away() {
        let (mut life, now) = life("presence-room", true);
        for (n, user) in [(1, "7"), (2, "8"), (3, "9")] {
            enter(&mut life, n, user, now);
        }
        life.left(socket(1), Departure::Broken, 2, now);
        life.left(socket(2), Departure::Unsubscribed, 1, now);
        assert_eq!(told(&life.conclude()), ["member_removed 7", "member_removed 8"]);
        assert_eq!(told(&life.left(socket(3), Departure::Closed, 0, now)), ["-9"]);
        assert_eq!(told(&life.tick(0, now + GRACE)), ["-7"]);
        assert!(life.conclude().is_empty() && life.is_over(now + GRACE));
    }

    #[test]
    fn subscribers_are_counted_everywhere_but_in_presence_channels() {
        let (mut news, now) = life("news", true);
        let count = ["channel_occupied", "1", "subscription_count 1"];
        assert_eq!(told(&news.came(socket(1), None, 1, now)), count);
        assert_eq!(told(&news.left(socket(1), Departure::Broken, 0, now)), ["subscription_count 0"]);
        let (mut room, now) = life("presence-room", false);
        assert_eq!(enter(&mut room, 1, "7", now), ["+7"], "and without back ends nothing is told to them");
        let (mut private, now) = life("#server-to-user-7", false);
        assert!(private.came(socket(1), None, 1, now).is_empty());
    }

    #[test]
    fn a_cache_channel_lives_as_long_as_its_event_is_fresh() {
        let (mut life, now) = life("presence-cache-x", false);
        assert!(life.is_over(now));
        life.keep(&"1".into(), &Frame::answer("one".into()), now);
        let end = now + Duration::from_mins(30);
        assert_eq!((life.next_due(0), life.next_due(1)), (Some(end), None), "subscribers keep it alive too");
        assert!(!life.is_over(now) && life.is_over(end));
    }

    #[test]
    fn a_miss_is_told_to_back_ends_once() {
        let (mut cache, now) = life("cache-x", true);
        let missed = |life: &mut Life| life.find(now).unwrap().1.is_some();
        assert!(missed(&mut cache) && !missed(&mut cache));
        let (mut unheard, now) = life("cache-x", false);
        assert!(unheard.find(now).unwrap().1.is_none());
        assert!(life("news", true).0.find(now).is_none());
    }
}
