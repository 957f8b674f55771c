//! Turns at something scarce, shared fairly between addresses.
//!
//! Whoever floods one address waits behind himself: turns go round the addresses that wait, one each.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overloaded;

/// Hands out a fixed number of turns. Clones share it.
pub(crate) struct Gate<K: Clone + Eq + Hash>(Arc<Mutex<State<K>>>);

impl<K: Clone + Eq + Hash> Clone for Gate<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct State<K: Clone + Eq + Hash> {
    free: usize,
    waiting: usize,
    most_waiting: usize,
    /// Whose turn is next.
    order: VecDeque<K>,
    queues: HashMap<K, VecDeque<oneshot::Sender<Turn<K>>>>,
}

/// A turn; given back when dropped.
pub(crate) struct Turn<K: Clone + Eq + Hash> {
    gate: Option<Gate<K>>,
}

impl<K: Clone + Eq + Hash> Gate<K> {
    pub(crate) fn new(turns: usize, most_waiting: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: turns,
            waiting: 0,
            most_waiting,
            order: VecDeque::new(),
            queues: HashMap::new(),
        })))
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self, key: K) -> Result<Turn<K>, Overloaded> {
        let waiting = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Turn { gate: Some(self.clone()) });
            }
            if state.waiting >= state.most_waiting {
                return Err(Overloaded);
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting += 1;
            if !state.queues.contains_key(&key) {
                state.order.push_back(key.clone());
            }
            state.queues.entry(key).or_default().push_back(sender);
            receiver
        };
        waiting.await.map_err(|_| Overloaded)
    }

    fn give_back(&self) {
        let mut refused = Vec::new();
        let mut state = self.lock();
        loop {
            let Some(key) = state.order.pop_front() else {
                state.free += 1;
                break;
            };
            let Some(queue) = state.queues.get_mut(&key) else { continue };
            let next = queue.pop_front();
            if queue.is_empty() {
                state.queues.remove(&key);
            } else {
                state.order.push_back(key);
            }
            let Some(next) = next else { continue };
            state.waiting = state.waiting.saturating_sub(1);
            match next.send(Turn { gate: Some(self.clone()) }) {
                Ok(()) => break,
                // Whoever waited went away: the turn goes to the next, without coming back here through `Drop`.
                Err(mut turn) => refused.push(turn.gate.take()),
            }
        }
        drop(state);
        drop(refused);
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        if let Some(gate) = mem::take(&mut self.gate) {
            gate.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn turns_go_round_the_addresses() {
        let gate = Gate::new(1, 10);
        let Poll::Ready(Ok(first)) = poll(pin!(gate.turn("flood"))) else { panic!("a free turn") };
        let mut flood = pin!(gate.turn("flood"));
        let mut more = pin!(gate.turn("flood"));
        let mut other = pin!(gate.turn("other"));
        assert!(
            poll(flood.as_mut()).is_pending() && poll(more.as_mut()).is_pending() && poll(other.as_mut()).is_pending()
        );
        drop(first);
        let Poll::Ready(Ok(second)) = poll(flood.as_mut()) else { panic!("first in its queue") };
        drop(second);
        assert!(poll(more.as_mut()).is_pending(), "the other address is next");
        assert!(poll(other.as_mut()).is_ready());
    }

    #[test]
    fn whoever_goes_away_costs_no_turn() {
        let gate = Gate::new(1, 10);
        let Poll::Ready(Ok(first)) = poll(pin!(gate.turn(1))) else { panic!("a free turn") };
        {
            let mut gone = pin!(gate.turn(2));
            assert!(poll(gone.as_mut()).is_pending());
        }
        drop(first);
        assert!(matches!(poll(pin!(gate.turn(3))), Poll::Ready(Ok(_))));
    }

    #[test]
    fn the_queue_is_bounded() {
        let gate = Gate::new(1, 1);
        let Poll::Ready(Ok(_first)) = poll(pin!(gate.turn(1))) else { panic!("a free turn") };
        let mut waits = pin!(gate.turn(1));
        assert!(poll(waits.as_mut()).is_pending());
        assert!(matches!(poll(pin!(gate.turn(2))), Poll::Ready(Err(Overloaded))));
    }
}
