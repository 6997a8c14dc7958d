"""The RFC 6962 Merkle tree, as far as an append-only log needs it.

Names and algorithms are those of RFC 6962 §2.1; verification follows the iterative form of RFC 9162 §2.1.3.2
and §2.1.4.2. Every function works on leaf hashes, never on the entries themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32

EMPTY_ROOT = sha256().digest()
"""The root of a tree without leaves: the hash of the empty string (RFC 6962 §2.1)."""


@dataclass(frozen=True)
class Checkpoint:
    """Size and root of the audit log: all that has to be remembered to notice a later change."""

    size: int
    root: bytes

    def __str__(self) -> str:
        """``6:8a900d…``, short enough to be kept in a ticket or a chat."""
        return f"{self.size}:{self.root.hex()}"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The inverse of ``str``; raises ValueError."""
        size, colon, root = text.strip().partition(":")
        if not (colon and size.isascii() and size.isdigit() and len(root) == 2 * HASH_BYTES):
            raise ValueError("a checkpoint is written SIZE:ROOT, the root in 64 hexadecimal digits")
        return cls(int(size), bytes.fromhex(root))


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees; its prefix differs from a leaf's, so that neither passes for the other."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """The roots of the complete subtrees of a tree, largest first: enough to append and to know the root.

    One hash for each 1 in the binary form of ``size``, so at most 63 in any log that fits on a disk.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Frontier:
        """The tree with one more leaf, in O(log size)."""
        hashes, size = list(self.hashes), self.size
        while size & 1:
            leaf = node_hash(hashes.pop(), leaf)
            size >>= 1
        return Frontier(self.size + 1, (*hashes, leaf))

    @property
    def root(self) -> bytes:
        """The Merkle tree hash over all leaves."""
        if not self.hashes:
            return EMPTY_ROOT
        *larger, root = self.hashes
        for left in reversed(larger):
            root = node_hash(left, root)
        return root

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.size, self.root)

    def dump(self) -> bytes:
        """The hashes one after another; the inverse of :meth:`load`."""
        return b"".join(self.hashes)

    @classmethod
    def load(cls, size: int, hashes: bytes) -> Frontier:
        """Raises ValueError where that many hashes cannot belong to a tree of that size."""
        if size < 0 or len(hashes) != HASH_BYTES * size.bit_count():
            raise ValueError(f"{len(hashes)} bytes of hashes are no frontier of a tree of {size} leaves")
        starts = range(0, len(hashes), HASH_BYTES)
        return cls(size, tuple(hashes[start : start + HASH_BYTES] for start in starts))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1 over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    return frontier.root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH of RFC 6962 §2.1.1: shows that the leaf at ``index`` is in the tree over ``leaves``."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"there is no leaf {index} in a tree of {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root_of(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root_of(leaves[:split])]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """PROOF of RFC 6962 §2.1.2: shows that the tree over ``leaves`` only grew since ``old_size``."""
    if not 0 <= old_size <= len(leaves):
        raise ValueError(f"a tree of {len(leaves)} leaves never had {old_size}")
    return _subproof(leaves, old_size, True) if old_size else []


def _subproof(leaves: Sequence[bytes], old_size: int, known: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 §2.1.2; ``known`` where the verifier holds this subtree's root already."""
    if old_size == len(leaves):
        return [] if known else [root_of(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, known), root_of(leaves[split:])]
    return [*_subproof(leaves[split:], old_size - split, False), root_of(leaves[:split])]


def verify_inclusion(leaf: bytes, index: int, proof: Sequence[bytes], checkpoint: Checkpoint) -> bool:
    """Whether ``proof`` shows ``leaf`` at ``index`` of the tree that ``checkpoint`` names."""
    if not 0 <= index < checkpoint.size:
        return False
    place, last, root = index, checkpoint.size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            root = node_hash(sibling, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and root == checkpoint.root


def verify_consistency(old: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` shows that the log of ``new`` begins with the whole log of ``old``."""
    if old.size == new.size:
        return old.root == new.root and not proof
    if old.size == 0:
        return old.root == EMPTY_ROOT and not proof
    if old.size > new.size or not proof:
        return False
    # An old tree that is one complete subtree is its own first node, and the proof leaves it out.
    path = [old.root, *proof] if old.size & (old.size - 1) == 0 else list(proof)
    place, last = old.size - 1, new.size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old_root = new_root = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old_root, new_root = node_hash(sibling, old_root), node_hash(sibling, new_root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new_root = node_hash(new_root, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and old_root == old.root and new_root == new.root


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1
