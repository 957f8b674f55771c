use proptest::prelude::*;

use super::*;
use crate::naive;
use crate::tree::{join, subtrees};

/// Computes a proof as somebody who has the tree does.
fn hashes(runs: Vec<Range<u64>>, leaves: &[Hash]) -> Vec<Hash> {
    let of = |run: Range<u64>| naive::root(&leaves[run.start as usize..run.end as usize]);
    runs.into_iter()
        .map(|run| {
            let parts: Vec<Hash> = subtrees(run.clone()).into_iter().map(|node| of(node.leaves())).collect();
            assert_eq!(join(&parts), of(run));
            join(&parts)
        })
        .collect()
}

#[test]
fn every_small_tree_gives_the_proofs_of_the_definition_and_they_hold() {
    for size in 1..=40_u64 {
        let leaves = naive::leaves(size);
        let root = naive::root(&leaves);
        for (index, leaf) in (0..).zip(&leaves) {
            let proof = hashes(inclusion(index, size).unwrap(), &leaves);
            assert_eq!(proof, naive::path(index as usize, &leaves));
            assert!(verify_inclusion(leaf, index, size, &proof, &root), "{index} of {size}");
        }
        for from in 0..=size {
            let before = naive::root(&leaves[..from as usize]);
            let proof = hashes(consistency(from, size).unwrap(), &leaves);
            if from > 0 {
                assert_eq!(proof, naive::proof(from as usize, &leaves));
            }
            assert!(verify_consistency(from, &before, size, &root, &proof), "{from} of {size}");
        }
        assert_eq!(inclusion(size, size), None);
        assert_eq!(consistency(size + 1, size), None);
    }
}

#[test]
fn every_small_proof_holds_for_its_place_alone() {
    for size in 1..=17_u64 {
        let leaves = naive::leaves(size);
        let root = naive::root(&leaves);
        for index in 0..size {
            let proof = hashes(inclusion(index, size).unwrap(), &leaves);
            for (other, leaf) in (0..).zip(&leaves) {
                assert_eq!(verify_inclusion(leaf, index, size, &proof, &root), other == index);
                assert!(other == index || !verify_inclusion(&leaves[index as usize], other, size, &proof, &root));
            }
            for length in (0..proof.len()).chain([proof.len() + 1]) {
                let mut wrong = proof.clone();
                wrong.resize(length, [7; 32]);
                assert!(!verify_inclusion(&leaves[index as usize], index, size, &wrong, &root));
            }
        }
        for from in 1..=size {
            let before = naive::root(&leaves[..from as usize]);
            let proof = hashes(consistency(from, size).unwrap(), &leaves);
            for length in (0..proof.len()).chain([proof.len() + 1]) {
                let mut wrong = proof.clone();
                wrong.resize(length, [7; 32]);
                assert!(!verify_consistency(from, &before, size, &root, &wrong), "{length} of {from} of {size}");
            }
            for other in (1..size).filter(|other| *other != from) {
                assert!(!verify_consistency(other, &before, size, &root, &proof), "{other} for {from} of {size}");
            }
            assert!(!verify_consistency(from, &[7; 32], size, &root, &proof));
            assert!(!verify_consistency(from, &before, size, &[7; 32], &proof));
        }
    }
}

#[test]
fn the_empty_tree_is_the_beginning_of_every_tree() {
    let root = [5; 32];
    assert!(verify_consistency(0, &EMPTY_ROOT, 9, &root, &[]));
    assert!(verify_consistency(0, &EMPTY_ROOT, 0, &EMPTY_ROOT, &[]));
    assert!(!verify_consistency(0, &root, 9, &root, &[]));
    assert!(!verify_consistency(0, &EMPTY_ROOT, 0, &root, &[]));
    assert!(!verify_consistency(0, &EMPTY_ROOT, 9, &root, &[root]));
    assert!(!verify_consistency(9, &root, 8, &root, &[]));
}

proptest! {
    #[test]
    fn proofs_hold_and_any_change_of_them_shows(size in 1_u64..700, at in any::<prop::sample::Index>(), bit in 0_usize..256) {
        let leaves = naive::leaves(size);
        let root = naive::root(&leaves);
        let index = at.index(size as usize);
        let proof = hashes(inclusion(index as u64, size).unwrap(), &leaves);
        prop_assert_eq!(&proof, &naive::path(index, &leaves));
        prop_assert!(verify_inclusion(&leaves[index], index as u64, size, &proof, &root));
        for place in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[place][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_inclusion(&leaves[index], index as u64, size, &wrong, &root));
        }

        let from = index + 1;
        let smaller = naive::root(&leaves[..from]);
        let proof = hashes(consistency(from as u64, size).unwrap(), &leaves);
        prop_assert_eq!(&proof, &naive::proof(from, &leaves));
        prop_assert!(verify_consistency(from as u64, &smaller, size, &root, &proof));
        for place in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[place][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_consistency(from as u64, &smaller, size, &root, &wrong));
        }
    }

    #[test]
    fn what_stands_before_an_entry_comes_out_of_its_proof(size in 1_u64..700, at in any::<prop::sample::Index>()) {
        let leaves = naive::leaves(size);
        let index = at.index(size as usize);
        let proof = naive::path(index, &leaves);
        let mut frontier = before(index as u64, size, &proof).unwrap();
        prop_assert_eq!(frontier.root(), naive::root(&leaves[..index]));
        for leaf in &leaves[index..] {
            frontier.push(*leaf, |_, _| {});
        }
        prop_assert_eq!(frontier.root(), naive::root(&leaves));
        prop_assert_eq!(before(index as u64, size, &proof[..proof.len().saturating_sub(1)]).is_some(), proof.is_empty());
    }

    #[test]
    fn no_numbers_make_a_proof_panic(one in any::<u64>(), other in any::<u64>(), hashes in proptest::collection::vec(any::<Hash>(), 0..70)) {
        let root = [1; 32];
        let _ = verify_inclusion(&root, one, other, &hashes, &root);
        let _ = verify_consistency(one, &root, other, &root, &hashes);
        let _ = before(one, other, &hashes);
        let _ = inclusion(one, other);
        let _ = consistency(one, other);
    }
}
