use proptest::prelude::*;

use super::*;
use crate::naive;

/// The examples that the implementations of Certificate Transparency share.
#[test]
fn the_known_roots_come_out() {
    let leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::default();
    assert_eq!(frontier.root(), sha256(&[]));
    for (leaf, root) in leaves.iter().zip(roots) {
        frontier.push(leaf_hash(&hex::decode(leaf).unwrap()), |_, _| {});
        assert_eq!(hex::encode(frontier.root()), root, "{} leaves", frontier.size());
    }
}

#[test]
fn a_growing_tree_has_the_roots_of_the_definition_and_tells_each_node_once() {
    let leaves = naive::leaves(300);
    let mut frontier = Frontier::default();
    let mut told = Vec::new();
    for (size, leaf) in (1..).zip(&leaves) {
        frontier.push(*leaf, |node, hash| told.push((node, *hash)));
        assert_eq!(frontier.root(), naive::root(&leaves[..size]));
    }
    let mut expected = 0;
    for level in 1..=8 {
        expected += 300 >> level;
    }
    assert_eq!(told.len(), expected);
    for (node, hash) in told {
        let run = node.leaves();
        assert_eq!(hash, naive::root(&leaves[run.start as usize..run.end as usize]), "{node:?}");
    }
}

#[test]
fn nodes_are_found_at_lower_levels() {
    let node = Node { level: 10, index: 3 };
    assert_eq!(node.leaves(), 3072..4096);
    assert_eq!(node.at(8), 12..16);
    assert_eq!(node.at(10), 3..4);
    assert_eq!(node.at(16), 3..4);
}

#[test]
fn bytes_of_another_length_are_no_frontier() {
    let mut frontier = Frontier::default();
    for leaf in naive::leaves(21) {
        frontier.push(leaf, |_, _| {});
    }
    let bytes = frontier.to_bytes();
    assert_eq!(bytes.len(), 8 + 3 * 32);
    for other in [&bytes[..bytes.len() - 1], &bytes[..8], &[], &[&bytes[..], &[0]].concat(), &[0xff; 8 + 64 * 32]] {
        assert_eq!(Frontier::from_bytes(other), None);
    }
    assert_eq!(Frontier::from_bytes(&Frontier::default().to_bytes()), Some(Frontier::default()));
}

#[test]
fn a_subtree_stands_only_where_it_is_aligned() {
    let leaves = naive::leaves(12);
    let mut frontier = Frontier::default();
    assert!(frontier.push_subtree(3, naive::root(&leaves[..8])));
    assert!(!frontier.push_subtree(4, leaves[0]) && !frontier.push_subtree(63, leaves[0]));
    assert!(frontier.push_subtree(2, naive::root(&leaves[8..])));
    assert_eq!((frontier.size(), frontier.root()), (12, naive::root(&leaves)));
}

proptest! {
    #[test]
    fn a_run_is_split_into_aligned_subtrees_without_gap(start in 0_u64..5000, length in 0_u64..5000) {
        let nodes = subtrees(start..start + length);
        let mut at = start;
        for node in &nodes {
            prop_assert_eq!(node.leaves().start, at);
            at = node.leaves().end;
        }
        prop_assert_eq!(at, start + length);
        // As large as possible: at most two of a level.
        prop_assert!((0..16).all(|level| nodes.iter().filter(|node| node.level == level).count() <= 2));
    }

    #[test]
    fn a_frontier_comes_back_from_bytes_and_from_its_subtrees(size in 0_u64..600) {
        let leaves = naive::leaves(size);
        let hashes: Vec<Hash> = subtrees(0..size)
            .into_iter()
            .map(|node| naive::root(&leaves[node.leaves().start as usize..node.leaves().end as usize]))
            .collect();
        let frontier = Frontier::new(size, hashes.clone()).unwrap();
        prop_assert_eq!(frontier.root(), naive::root(&leaves));
        prop_assert_eq!(join(&hashes), naive::root(&leaves));
        prop_assert_eq!(over(&leaves), naive::root(&leaves));
        prop_assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Some(frontier));
    }

    #[test]
    fn no_bytes_make_a_frontier_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(mut frontier) = Frontier::from_bytes(&bytes) {
            frontier.push([0; 32], |_, _| {});
            let _ = frontier.root();
        }
    }
}
