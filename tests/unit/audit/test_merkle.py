"""The Merkle tree against the definitions of RFC 6962, written down a second time, as plainly as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.audit import merkle
from oneoff.audit.merkle import Checkpoint, Frontier

# The entries and roots of the reference implementation of Certificate Transparency (merkle tree tests).
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive_root(entries: list[bytes]) -> bytes:
    """MTH as RFC 6962 §2.1 words it: over the entries, by recursion."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return sha256(b"\x01" + naive_root(entries[:split]) + naive_root(entries[split:])).digest()


def leaves_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(str(number).encode()) for number in range(size)]


def kept(leaves: list[bytes]) -> dict[merkle.Place, bytes]:
    """What a store keeps of the tree: with each leaf the hashes of what it completes."""
    nodes = dict[merkle.Place, bytes]()

    def lookup(places: Sequence[merkle.Place]) -> dict[merkle.Place, bytes]:
        return {place: nodes[place] for place in places}

    for index, leaf in enumerate(leaves):
        made = merkle.grown(index, leaf, lookup)
        places = merkle.completed(index)
        assert len(made) == len(places) * merkle.HASH_BYTES
        assert {merkle.last_leaf(place) for place in places} == {index}
        nodes |= {place: made[32 * level : 32 * level + 32] for level, place in enumerate(places)}
    return nodes


def hashes_of(size: int) -> merkle.Hashes:
    nodes = kept(leaves_of(size))
    return lambda places: {place: nodes[place] for place in places}


def flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_known_roots(size: int) -> None:
    """The roots are those that other implementations have, the empty tree's included."""
    leaves = [merkle.leaf_hash(entry) for entry in ENTRIES[:size]]
    assert merkle.root_of(leaves).hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_frontier_is_the_naive_tree(entries: list[bytes]) -> None:
    """Appending one by one gives, after each step, the root of the recursive definition."""
    frontier = Frontier()
    for size, entry in enumerate(entries, start=1):
        frontier = frontier.append(merkle.leaf_hash(entry))
        assert frontier.checkpoint == Checkpoint(size, naive_root(entries[:size]))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 64, 65, 100])
def test_kept_hashes(size: int) -> None:
    """What is kept of a tree are the roots of all its complete subtrees; they give the root of every size."""
    leaves = leaves_of(size)
    nodes = kept(leaves)
    complete = {
        (level, position): merkle.root_of(leaves[position << level : (position + 1) << level])
        for level in range(size.bit_length())
        for position in range(size >> level)
    }
    assert nodes == complete
    for earlier in range(size + 1):
        assert merkle.root_at(earlier, hashes_of(size)) == merkle.root_of(leaves[:earlier])


def test_growth_needs_the_newest_hashes_alone() -> None:
    """Leaf by leaf it gives what a look-up among all hashes gives."""
    nodes, growth = kept(leaves_of(70)), merkle.Growth()
    for index, leaf in enumerate(leaves_of(70)):
        assert growth.add(leaf) == b"".join(nodes[place] for place in merkle.completed(index))


def test_inclusion_is_proved_for_every_leaf() -> None:
    """Every leaf of every tree below 40 leaves is proved, and no other leaf or place by the same proof."""
    for size in range(1, 40):
        leaves = leaves_of(size)
        checkpoint, hashes = Checkpoint(size, merkle.root_of(leaves)), hashes_of(size)
        for index, leaf in enumerate(leaves):
            proof = merkle.inclusion_proof(index, size, hashes)
            assert merkle.verify_inclusion(leaf, index, proof, checkpoint)
            assert not merkle.verify_inclusion(flipped(leaf), index, proof, checkpoint)
            assert not merkle.verify_inclusion(leaf, index + 1, proof, checkpoint)
            assert not merkle.verify_inclusion(leaf, index, [*proof, leaf], checkpoint)
            assert not proof or not merkle.verify_inclusion(leaf, index, proof[:-1], checkpoint)


def test_several_leaves_are_proved_with_one_look_up() -> None:
    """A receipt asks its store once, however many events it has."""
    asked = list[Sequence[merkle.Place]]()

    def look_up(places: Sequence[merkle.Place]) -> Mapping[merkle.Place, bytes]:
        asked.append(places)
        return hashes_of(21)(places)

    indexes = [0, 7, 20]
    each = [merkle.inclusion_proof(index, 21, hashes_of(21)) for index in indexes]
    assert merkle.inclusion_proofs(indexes, 21, look_up) == each
    assert len(asked) == 1


def test_consistency_is_proved_for_every_pair() -> None:
    """Every tree below 40 leaves is shown to extend every earlier one, and no other."""
    roots = [merkle.root_of(leaves_of(size)) for size in range(40)]
    for size in range(40):
        hashes = hashes_of(size)
        for old_size in range(size + 1):
            proof = merkle.consistency_proof(old_size, size, hashes)
            old, new = Checkpoint(old_size, roots[old_size]), Checkpoint(size, roots[size])
            assert merkle.verify_consistency(old, new, proof)
            assert not merkle.verify_consistency(old, new, [*proof, roots[1]])
            assert not merkle.verify_consistency(Checkpoint(old_size, flipped(old.root)), new, proof)
            if old_size:
                assert not merkle.verify_consistency(old, Checkpoint(size, flipped(new.root)), proof)
            if proof:
                assert not merkle.verify_consistency(old, new, proof[:-1])


def test_a_log_never_shrinks_consistently() -> None:
    """No proof makes a smaller log out of a larger one."""
    large, small = leaves_of(9), leaves_of(5)
    proof = merkle.consistency_proof(5, 9, hashes_of(9))
    assert not merkle.verify_consistency(
        Checkpoint(9, merkle.root_of(large)), Checkpoint(5, merkle.root_of(small)), proof
    )


@pytest.mark.parametrize("index", [-1, 3])
def test_no_proof_outside_the_tree(index: int) -> None:
    """What is not in the tree cannot be proved."""
    with pytest.raises(ValueError, match="tree of 3"):
        merkle.inclusion_proof(index, 3, hashes_of(3))
    with pytest.raises(ValueError, match="tree of 3"):
        merkle.consistency_proof(index if index < 0 else 4, 3, hashes_of(3))
