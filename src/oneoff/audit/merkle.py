"""The RFC 6962 Merkle tree, as far as an append-only log needs it.

Names and algorithms are those of RFC 6962 §2.1; verification follows the iterative form of RFC 9162 §2.1.3.2
and §2.1.4.2. Every function works on leaf hashes, never on the entries themselves. Complete subtrees never
change, so a log that keeps their hashes proves anything about itself by looking up some 2 log2(size) of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

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
        return _fold(self.hashes) if self.hashes else EMPTY_ROOT

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.size, self.root)


def root_of(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1 over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    return frontier.root


Place = tuple[int, int]
"""A complete subtree by its level and its position from the left: it covers the leaves from
``position << level`` on, ``1 << level`` of them. Level 0 is the leaves."""

Hashes = Callable[[Sequence[Place]], Mapping[Place, bytes]]
"""Looks up what is kept of a tree: the hash of each complete subtree."""


def peaks(start: int, end: int) -> list[Place]:
    """The complete subtrees that make up the leaves from ``start`` to below ``end``, largest first.

    ``start`` has to be where a subtree of that size may begin, as in every split of RFC 6962 §2.1.
    """
    found = []
    for level in range((end - start).bit_length() - 1, -1, -1):
        if (end - start) >> level & 1:
            found.append((level, start >> level))
            start += 1 << level
    return found


def completed(index: int) -> list[Place]:
    """The complete subtrees whose last leaf is the one at ``index``: the leaf itself, and those above it.

    Each complete subtree has one last leaf, so a log that keeps the hashes of these with each leaf keeps all.
    """
    levels = (~index & (index + 1)).bit_length()  # one more than the trailing ones of index
    return [(level, index >> level) for level in range(levels)]


def last_leaf(place: Place) -> int:
    """The leaf with which this subtree becomes complete."""
    level, position = place
    return (position + 1 << level) - 1


def grown(index: int, leaf: bytes, hashes: Hashes) -> bytes:
    """The hashes of what the leaf at ``index`` completes, one behind the other, the leaf's own first."""
    lefts = [(level, (index >> level) - 1) for level, _ in completed(index)[:-1]]
    found, made = hashes(lefts) if lefts else {}, [leaf]
    for left in lefts:
        made.append(node_hash(found[left], made[-1]))
    return b"".join(made)


class Growth:
    """A tree that grows leaf by leaf: the newest hash of each level is all that takes."""

    def __init__(self, size: int = 0, peaks: Mapping[Place, bytes] | None = None) -> None:
        """A tree of ``size`` leaves, with the hashes of its :func:`peaks`."""
        self.size = size
        self._newest = {level: hash_ for (level, _), hash_ in (peaks or {}).items()}

    def next(self, leaf: bytes) -> bytes:
        """What :func:`grown` gives for the next leaf; the tree stays as it is."""
        return grown(self.size, leaf, lambda places: {place: self._newest[place[0]] for place in places})

    def take(self, made: bytes) -> None:
        """The next leaf is there, by what :meth:`next` gave for it."""
        self._newest[len(made) // HASH_BYTES - 1] = made[-HASH_BYTES:]
        self.size += 1

    def add(self, leaf: bytes) -> bytes:
        """What :func:`grown` gives for the next leaf, which is there from now on."""
        made = self.next(leaf)
        self.take(made)
        return made


def root_at(size: int, hashes: Hashes) -> bytes:
    """The root of the first ``size`` leaves."""
    return _folded([(0, size)], hashes)[0] if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, hashes: Hashes) -> list[bytes]:
    """PATH of RFC 6962 §2.1.1: shows that the leaf at ``index`` is in the tree of ``size`` leaves."""
    [proof] = inclusion_proofs([index], size, hashes)
    return proof


def inclusion_proofs(indexes: Sequence[int], size: int, hashes: Hashes) -> list[list[bytes]]:
    """The same of several leaves, with one look-up for all of them."""
    paths = [_path(index, size) for index in indexes]
    nodes = iter(_folded([siblings for path in paths for siblings in path], hashes))
    return [list(islice(nodes, len(path))) for path in paths]


def _path(index: int, size: int) -> list[_Range]:
    """What is beside the way from a leaf to the root, from the leaf up."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    siblings, start, end = list[_Range](), 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            siblings.append((split, end))
            end = split
        else:
            siblings.append((start, split))
            start = split
    return siblings[::-1]


def consistency_proof(old_size: int, size: int, hashes: Hashes) -> list[bytes]:
    """PROOF of RFC 6962 §2.1.2: shows that the tree of ``size`` leaves only grew since ``old_size``."""
    if not 0 <= old_size <= size:
        raise ValueError(f"a tree of {size} leaves never had {old_size}")
    if old_size == 0:
        return []
    siblings, start, end = list[_Range](), 0, size
    while end != old_size:
        split = start + _split(end - start)
        if old_size <= split:
            siblings.append((split, end))
            end = split
        else:
            siblings.append((start, split))
            start = split
    known = start == 0  # then the verifier holds this subtree's root already
    return _folded([*([] if known else [(start, end)]), *siblings[::-1]], hashes)


_Range = tuple[int, int]
"""Leaves from the first number to below the second."""


def _folded(ranges: Sequence[_Range], hashes: Hashes) -> list[bytes]:
    """The hash over each range, all looked up at once."""
    parts = [peaks(start, end) for start, end in ranges]
    found = hashes([place for places in parts for place in places])
    return [_fold([found[place] for place in places]) for places in parts]


def _fold(subtrees: Sequence[bytes]) -> bytes:
    *larger, root = subtrees
    for left in reversed(larger):
        root = node_hash(left, root)
    return root


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
