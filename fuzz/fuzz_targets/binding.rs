//! Any bytes as the string of a challenge, and as both sides of a recorded handshake.
#![no_main]

use estd::binding::{Side, Recorded};
use libfuzzer_sys::fuzz_target;
use std::{
    pin::Pin,
    task::{Context, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

fuzz_target!(|bytes: &[u8]| {
    let _ = estd::pki::challenge(bytes);
    // The first byte is the number of bytes that pass at a time; the ends take turns.
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let mut stream = Recorded::new(tokio::io::join(bytes, tokio::io::sink()), Side::Server);
    let mut context = Context::from_waker(Waker::noop());
    let mut piece_of_both = vec![0; usize::from(*piece) + 1];
    loop {
        let mut room = ReadBuf::new(&mut piece_of_both);
        let _ = Pin::new(&mut stream).poll_read(&mut context, &mut room);
        if room.filled().is_empty() {
            break;
        }
        let read = room.filled().to_vec();
        let _ = Pin::new(&mut stream).poll_write(&mut context, &read);
    }
});
