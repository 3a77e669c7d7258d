//! Names for visitors who have not said theirs: readable, and distinct in practice.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::VisitorId;

const COLOURS: [&str; 64] = [
    "Amber", "Apricot", "Aqua", "Ash", "Auburn", "Azure", "Beige", "Birch", "Blue", "Bronze", "Brown", "Cedar",
    "Cherry", "Chestnut", "Cobalt", "Copper", "Coral", "Cream", "Crimson", "Cyan", "Denim", "Ebony", "Emerald", "Fawn",
    "Fern", "Flax", "Ginger", "Gold", "Granite", "Green", "Grey", "Hazel", "Heather", "Honey", "Indigo", "Ivory",
    "Jade", "Khaki", "Lemon", "Lilac", "Lime", "Linen", "Maple", "Maroon", "Mint", "Moss", "Navy", "Ochre", "Olive",
    "Onyx", "Opal", "Orange", "Pearl", "Pine", "Plum", "Poppy", "Rose", "Ruby", "Rust", "Sage", "Sand", "Silver",
    "Teal", "Umber",
];

const ANIMALS: [&str; 64] = [
    "Badger",
    "Beaver",
    "Bison",
    "Bittern",
    "Blackbird",
    "Bunting",
    "Buzzard",
    "Chamois",
    "Crane",
    "Curlew",
    "Deer",
    "Dipper",
    "Dolphin",
    "Dove",
    "Eagle",
    "Egret",
    "Elk",
    "Falcon",
    "Ferret",
    "Finch",
    "Fox",
    "Gannet",
    "Goldfinch",
    "Grebe",
    "Gull",
    "Hare",
    "Hawk",
    "Hedgehog",
    "Heron",
    "Ibex",
    "Ibis",
    "Jackdaw",
    "Jay",
    "Kestrel",
    "Kite",
    "Lapwing",
    "Lark",
    "Linnet",
    "Lynx",
    "Magpie",
    "Marten",
    "Merlin",
    "Mole",
    "Moose",
    "Nuthatch",
    "Osprey",
    "Otter",
    "Owl",
    "Partridge",
    "Pelican",
    "Plover",
    "Puffin",
    "Raven",
    "Robin",
    "Seal",
    "Sparrow",
    "Squirrel",
    "Stork",
    "Swallow",
    "Swan",
    "Swift",
    "Tern",
    "Thrush",
    "Wren",
];

/// The name of an unknown visitor, such as "Amber Falcon 27": the same for ever, from the id alone. 4 million names:
/// among 100 visitors in view two alike come once in 800 days.
pub fn visitor_name(visitor: VisitorId) -> Arc<str> {
    let hash = Sha256::digest(visitor.0.to_be_bytes());
    let number = u16::from_be_bytes([hash[2], hash[3]]) % 999 + 1;
    let (colour, animal) = (COLOURS[usize::from(hash[0] % 64)], ANIMALS[usize::from(hash[1] % 64)]);
    format!("{colour} {animal} {number}").into()
}
