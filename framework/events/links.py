"""Element-link keys: ATLAS's hash of a container's name and class, which names the target of a link."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["CLIDS", "key_for", "keys_of", "link_key"]

_POLYNOMIAL = 0x95AC9329AC4BC9B5

TRUTH = 1237340765
CLIDS = {
    "TauTracks": 1306133771,
    "TruthTaus": TRUTH,
    "TruthElectrons": TRUTH,
    "TruthMuons": TRUTH,
    "TruthPhotons": TRUTH,
    "TruthBoson": TRUTH,
    "TruthNeutrinos": TRUTH,
    "TruthParticles": TRUTH,
}


@lru_cache(maxsize=4096)
def link_key(container: str, clid: int) -> int:
    """Return the 30-bit key of a container: CRC-64 over its name, then over the bytes of its class identifier.

    Reflected polynomial 0x95AC9329AC4BC9B5, register starting with all ones, no final inversion; class identifier low
    byte first until the rest is zero (Athena's ``SGKey``).
    """
    data = bytearray(container.encode())
    while clid:
        data.append(clid & 0xFF)
        clid >>= 8
    register = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (_POLYNOMIAL if register & 1 else 0)
    return register & 0x3FFFFFFF


def key_for(container: str) -> int:
    """Return the key that hepflow writes for links into a container; a container of unknown class is hashed by name
    alone.
    """
    return link_key(container, CLIDS.get(container, 0))


def keys_of(container: str) -> tuple[int, ...]:
    """Return the keys under which files know a container: by its name, and by its name in derivations."""
    clid = CLIDS.get(container, 0)
    return link_key(container, clid), link_key(f"Analysis{container}", clid)
