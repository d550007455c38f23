//! Bells in a row, by their numbers: what wakes those who wait. Things share them, so that their number is bounded.

use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Row<const N: usize>(Vec<watch::Sender<u64>>);

impl<const N: usize> Default for Row<N> {
    fn default() -> Self {
        Self((0..N).map(|_| watch::Sender::new(0)).collect())
    }
}

impl<const N: usize> Row<N> {
    /// What tells when this bell rings; one that never does where there is none.
    pub(crate) fn of(&self, number: usize) -> watch::Receiver<u64> {
        self.0.get(number).map_or_else(|| watch::Sender::new(0).subscribe(), watch::Sender::subscribe)
    }

    pub(crate) fn ring(&self, number: usize) {
        if let Some(bell) = self.0.get(number) {
            bell.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }

    pub(crate) fn ring_all(&self) {
        (0..N).for_each(|number| self.ring(number));
    }
}
