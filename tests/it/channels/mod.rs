//! What a channel is beside its messages, through real sockets: who is present, the last event, the count of
//! subscribers, and what back ends are told of it all.

mod cache;
mod count;
mod facts;
mod presence;
mod random_kills;
