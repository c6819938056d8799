//! Joining fragments against plain concatenation.
#![no_main]

use bellwire::realtime::session::fault::Fault;
use bellwire::realtime::session::fragments::Fragments;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const MAX_BYTES: usize = 64;
const MAX_PARTS: usize = 4;

#[derive(Debug, Arbitrary)]
enum Step {
    First(bool, Vec<u8>),
    More(Vec<u8>),
    Last(Vec<u8>),
}

fuzz_target!(|steps: Vec<Step>| {
    let mut fragments = Fragments::new(MAX_BYTES, MAX_PARTS);
    let mut open: Option<(bool, Vec<Vec<u8>>)> = None;
    for step in steps {
        let expected = match &step {
            Step::First(..) if open.is_some() => Err(Fault::OutOfPlace),
            Step::More(_) | Step::Last(_) if open.is_none() => Err(Fault::OutOfPlace),
            Step::First(text, bytes) => {
                open = Some((*text, vec![bytes.clone()]));
                fits(open.as_ref().unwrap())
            }
            Step::More(bytes) | Step::Last(bytes) => {
                let message = open.as_mut().unwrap();
                message.1.push(bytes.clone());
                fits(message)
            }
        };
        match step {
            Step::First(text, bytes) => assert_eq!(fragments.first(text, &bytes), expected),
            Step::More(bytes) => assert_eq!(fragments.more(&bytes), expected),
            Step::Last(bytes) => match fragments.last(&bytes) {
                Ok((text, joined)) => {
                    let (is_text, parts) = open.take().unwrap();
                    assert_eq!((text, &joined[..]), (is_text, &parts.concat()[..]));
                }
                Err(fault) => assert_eq!(Err(fault), expected),
            },
        }
        if expected.is_err() {
            // A faulty connection ends.
            return;
        }
    }
});

fn fits((_, parts): &(bool, Vec<Vec<u8>>)) -> Result<(), Fault> {
    let bytes: usize = parts.iter().map(Vec::len).sum();
    if bytes > MAX_BYTES || parts.len() > MAX_PARTS { Err(Fault::TooBig) } else { Ok(()) }
}
