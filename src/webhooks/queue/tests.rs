//! What the queue says, claim by claim.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn filled(lanes: usize, rows: usize) -> Queue<usize> {
    let mut queue = Queue::new(lanes);
    let claim = queue.claim(at(0)).unwrap();
    queue.claimed(claim, (0..rows).collect(), None);
    queue
}

#[test]
fn it_begins_with_a_look_at_the_rows() {
    let mut queue = Queue::<()>::new(8);
    let claim = queue.claim(at(0)).unwrap();
    assert_eq!(claim, Claim { room: 8, look_ahead: true });
    assert_eq!(queue.claim(at(0)), None, "one claim at a time");
    queue.claimed(claim, Vec::new(), Some(at(60)));
    assert_eq!((queue.claim(at(0)), queue.wakes_at()), (None, Some(at(60))));
    assert!(queue.is_idle());
}

#[test]
fn what_the_rate_holds_off_is_not_claimed_again_and_again() {
    let mut queue = filled(1, 1);
    assert_eq!(queue.hold_off(at(60)), [0]);
    assert_eq!(queue.claim(at(0)), None);
    for second in 1..60 {
        queue.wake(at(second));
        let look = queue.claim(at(second)).unwrap();
        assert_eq!(look.room, 0, "its owner may have changed the rate");
        queue.claimed(look, Vec::new(), None);
        queue.wake(at(second));
        assert_eq!(queue.claim(at(second)), None, "once a second");
    }
    assert_eq!(queue.wakes_at(), Some(at(60)));
    queue.tick(at(60));
    assert_eq!(queue.claim(at(60)).unwrap().room, 2);
}

#[test]
fn what_was_held_off_goes_when_the_rate_is_another() {
    let mut queue = filled(1, 1);
    queue.hold_off(at(60));
    queue.hold_off_no_longer();
    assert_eq!(queue.claim(at(1)).unwrap().room, 2);
}

/// How many go in one request.
fn request(queue: &mut Queue<usize>) -> usize {
    queue.take().unwrap();
    (1..=MAX_HELD).find(|taken| queue.take_along(*taken, |_| true).is_none()).unwrap()
}

#[test]
fn a_request_that_is_too_much_is_halved_until_it_is_not() {
    let mut queue = filled(8, 0);
    queue.shape(8, usize::MAX, 50);
    queue.wake(at(1));
    let claim = queue.claim(at(1)).unwrap();
    queue.claimed(claim, (0..500).collect(), None);
    for expected in [50, 25, 12, 6, 3, 1, 1] {
        assert_eq!(request(&mut queue), expected);
        queue.finished(false, None);
    }
    for expected in [1, 2, 4, 8, 16, 32, 50, 50] {
        assert_eq!(request(&mut queue), expected);
        queue.finished(true, None);
    }
}

#[test]
fn no_more_is_in_flight_than_there_are_lanes() {
    let mut queue = filled(2, 9);
    assert_eq!((queue.take(), queue.take()), (Some(0), None), "it begins with one");
    queue.finished(true, None);
    assert_eq!((queue.take(), queue.take(), queue.take()), (Some(1), Some(2), None));
    queue.finished(true, None);
    assert_eq!((queue.take(), queue.take()), (Some(3), None), "there are two lanes");
    queue.finished(false, None);
    assert_eq!(queue.take(), None, "half of two is one, and one is out");
}

#[test]
fn it_offers_the_lanes_that_are_free_and_none_while_rows_may_wait() {
    let mut queue = Queue::new(4);
    assert_eq!(queue.free_lanes(at(0)), 0, "it has not looked at the rows");
    let claim = queue.claim(at(0)).unwrap();
    queue.claimed(claim, Vec::new(), None);
    assert_eq!(queue.free_lanes(at(0)), 1, "it begins with one");
    queue.hold([0]);
    assert_eq!((queue.free_lanes(at(0)), queue.take()), (0, Some(0)));
    queue.finished(true, None);
    assert_eq!(queue.free_lanes(at(0)), 2);
    queue.wake(at(1));
    assert_eq!(queue.free_lanes(at(1)), 0, "others are due");
    let claim = queue.claim(at(2)).unwrap();
    assert_eq!(queue.free_lanes(at(2)), 2, "what is claimed has its time");
    queue.claimed(claim, vec![0; claim.room], None);
    assert_eq!(queue.free_lanes(at(2)), 0, "there are more");
}

#[test]
fn it_offers_nothing_while_nothing_may_go() {
    let mut queue = filled(4, 0);
    assert_eq!(queue.free_lanes(at(0)), 1);
    queue.set_gate(Gate::Shut);
    assert_eq!(queue.free_lanes(at(0)), 0);
    let mut queue = filled(4, 0);
    queue.hold_off(at(60));
    assert_eq!((queue.free_lanes(at(0)), queue.free_lanes(at(60))), (0, 1));
}

#[test]
fn a_wake_during_a_claim_is_not_lost() {
    let mut queue = Queue::<()>::new(8);
    let claim = queue.claim(at(0)).unwrap();
    queue.wake(at(1));
    queue.claimed(claim, Vec::new(), None);
    assert_eq!(queue.claim(at(0)), Some(Claim { room: 8, look_ahead: false }));
}

#[test]
fn claims_grow_while_the_endpoint_keeps_up_and_fall_back_when_it_fails() {
    let mut queue = filled(8, 8);
    assert_eq!(queue.claim(at(0)).map(|c| c.room), Some(8), "half of 16 is free");
    queue.claimed(Claim { room: 8, look_ahead: false }, (0..8).collect(), None);
    assert_eq!(queue.claim(at(0)), Some(Claim { room: 16, look_ahead: false }));
    queue.claim_failed(Claim { room: 16, look_ahead: false });
    while queue.take().is_some() {
        queue.finished(false, Some(at(60)));
    }
    queue.wake(at(1));
    assert_eq!(queue.claim(at(0)).map(|c| c.room), Some(8));
    assert_eq!(queue.wakes_at(), Some(at(60)));
}

#[test]
fn never_more_than_its_bound_is_held() {
    let mut queue = filled(8, 8);
    for _ in 0..100 {
        if let Some(claim) = queue.claim(at(0)) {
            queue.claimed(claim, vec![0; claim.room], None);
        }
    }
    assert_eq!(queue.clear().len(), MAX_HELD);
}

#[test]
fn the_earliest_time_wakes_it() {
    let mut queue = filled(8, 2);
    for seconds in [300, 60] {
        assert!(queue.take().is_some());
        queue.finished(false, Some(at(seconds)));
    }
    queue.tick(at(59));
    assert_eq!(queue.claim(at(0)), None);
    queue.tick(at(60));
    assert_eq!(queue.claim(at(0)), Some(Claim { room: 8, look_ahead: true }));
    assert_eq!(queue.wakes_at(), None);
}

#[test]
fn a_failed_claim_is_made_again_when_woken() {
    let mut queue = Queue::<()>::new(8);
    let claim = queue.claim(at(0)).unwrap();
    queue.claim_failed(claim);
    assert_eq!(queue.claim(at(0)), None);
    queue.wake(at(1));
    assert_eq!(queue.claim(at(0)), Some(claim));
}

#[test]
fn while_its_gate_is_shut_nothing_goes_and_rows_are_seldom_looked_at() {
    let mut queue = filled(8, 3);
    assert_eq!(queue.take(), Some(0));
    assert_eq!(queue.set_gate(Gate::Until(at(100))), [1, 2]);
    queue.finished(false, None);
    assert_eq!((queue.take(), queue.claim(at(0)), queue.wakes_at()), (None, None, Some(at(100))));
    queue.wake(at(10));
    let claim = queue.claim(at(0)).unwrap();
    queue.claimed(claim, vec![], None);
    queue.wake(at(10));
    assert_eq!((queue.claim(at(0)), queue.wakes_at()), (None, Some(at(11))), "a second later");
    queue.tick(at(11));
    assert!(queue.claim(at(0)).is_some());
}

#[test]
fn when_its_gate_opens_rows_are_looked_at() {
    let mut queue = filled(8, 0);
    assert_eq!(queue.set_gate(Gate::Shut), Vec::<usize>::new());
    queue.set_gate(Gate::Open);
    assert_eq!(queue.claim(at(0)), Some(Claim { room: 8, look_ahead: true }));
}

#[test]
fn it_holds_no_more_than_is_worth_it() {
    let mut queue = Queue::new(8);
    queue.shape(8, 3, 1);
    let claim = queue.claim(at(0)).unwrap();
    assert_eq!(claim.room, 3);
    queue.claimed(claim, vec![0; 3], None);
    assert_eq!(queue.claim(at(0)), None);
    assert!(queue.take().is_some());
    queue.finished(true, None);
    assert!(queue.take().is_some());
    assert_eq!(queue.claim(at(0)).map(|claim| claim.room), Some(2));
}
#[test]
fn a_request_of_many_is_claimed_whole_also_when_it_failed() {
    let mut queue = Queue::new(1);
    queue.shape(1, usize::MAX, 50);
    let claim = queue.claim(at(0)).unwrap();
    assert_eq!(claim.room, 50);
    queue.claimed(claim, (0..50).collect(), None);
    assert_eq!(queue.take(), Some(0));
    let along: Vec<i32> = std::iter::from_fn(|| queue.take_along(1, |next| *next < 20)).collect();
    assert_eq!(along, (1..20).collect::<Vec<_>>());
    assert_eq!(queue.take(), None, "all of them are one in flight");
    queue.finished(false, Some(at(60)));
    queue.start_over();
    assert_eq!(queue.claim(at(60)).map(|claim| claim.room), Some(50));
}
