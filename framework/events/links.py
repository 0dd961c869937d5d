"""Element-link keys: ATLAS's hash of a container's name and class, which names the target of a link."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["CLIDS", "key_for", "keys_of", "link_key"]

_POLYNOMIAL = 0x95AC9329AC4BC9B5

_CLASSES = {
    1177172564: ("TauJets",),
    1306133771: ("TauTracks",),
    1177172577: (
        "TauNeutralParticleFlowObjects",
        "TauShotParticleFlowObjects",
        "TauChargedParticleFlowObjects",
        "TauHadronicParticleFlowObjects",
    ),
    1219821989: ("CaloCalTopoClusters", "TauPi0Clusters", "TauShotClusters"),
    1092961325: ("PrimaryVertices", "TauSecondaryVertices"),
    1287425431: ("InDetTrackParticles", "GSFTrackParticles"),
    1244316195: ("Jets", "AntiKt4LCTopoJets", "AntiKt4EMPFlowJets"),
    1087532415: ("Electrons",),
    1105575213: ("Photons",),
    1178459224: ("Muons",),
    1237340765: (
        "TruthTaus",
        "TruthElectrons",
        "TruthMuons",
        "TruthPhotons",
        "TruthBoson",
        "TruthNeutrinos",
        "TruthParticles",
    ),
}
CLIDS = {name: clid for clid, names in _CLASSES.items() for name in names}
"""Container → class identifier, as the class definitions of Athena's ``Event/xAOD`` packages give it."""


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
