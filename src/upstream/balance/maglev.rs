//! Consistent hashing by a permutation table (Maglev, NSDI 2016): a pick is one look, and when an
//! endpoint comes or goes, few requests meet another one than before.

use super::{bounded, stable_hash};
use crate::upstream::Endpoint;

/// Entries of the table; a prime. About a hundred per endpoint keep shares within 1 %.
const SMALL: usize = 4093;
const LARGE: usize = 65_537;
/// Entries that are looked at before whoever is eligible will do.
const LOOKS: u64 = 64;

#[derive(Debug)]
pub struct Maglev {
    table: Box<[u16]>,
}

impl Maglev {
    pub fn build(endpoints: &[Endpoint]) -> Self {
        let size = if endpoints.len() <= 40 { SMALL } else { LARGE };
        let mut table = vec![u16::MAX; if endpoints.is_empty() { 0 } else { size }];
        let heaviest = endpoints
            .iter()
            .map(|endpoint| endpoint.weight)
            .max()
            .unwrap_or(1);
        let mut walkers: Vec<Walker> = endpoints.iter().map(|e| Walker::new(e, size)).collect();
        let mut free = table.len();
        while free > 0 {
            for (index, (walker, endpoint)) in walkers.iter_mut().zip(endpoints).enumerate() {
                // A light endpoint sits out some of the rounds.
                walker.credit += u32::from(endpoint.weight);
                if walker.credit < u32::from(heaviest) {
                    continue;
                }
                walker.credit -= u32::from(heaviest);
                while let Some(slot) = table.get_mut(walker.step()) {
                    if *slot == u16::MAX {
                        *slot = index as u16;
                        free -= 1;
                        break;
                    }
                }
                if free == 0 {
                    break;
                }
            }
        }
        Self {
            table: table.into(),
        }
    }

    pub fn pick(
        &self,
        endpoints: &[Endpoint],
        hash: u64,
        eligible: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let size = self.table.len().max(1) as u64;
        let looks = (0..LOOKS).filter_map(|look| {
            let at = if look == 0 {
                hash
            } else {
                stable_hash(&[&hash.to_le_bytes(), &look.to_le_bytes()])
            };
            self.table
                .get((at % size) as usize)
                .map(|index| usize::from(*index))
        });
        bounded(endpoints, looks.chain(0..endpoints.len()), eligible)
    }
}

/// An endpoint's own order of the table's entries.
struct Walker {
    at: usize,
    skip: usize,
    size: usize,
    credit: u32,
}

impl Walker {
    fn new(endpoint: &Endpoint, size: usize) -> Self {
        let address = endpoint.address.as_bytes();
        let offset = stable_hash(&[address, b"offset"]) % size as u64;
        let skip = stable_hash(&[address, b"skip"]) % (size as u64 - 1) + 1;
        Self {
            at: offset as usize,
            skip: skip as usize,
            size,
            credit: 0,
        }
    }

    fn step(&mut self) -> usize {
        let at = self.at;
        self.at = (self.at + self.skip) % self.size;
        at
    }
}
