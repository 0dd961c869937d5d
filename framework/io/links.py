"""Links as ATLAS's files spell them, and back: a key, which is a hash of the target's name and class, and an index.

Which container a key stands for is found by hashing every container of the file with the class that it has there, or
with every class that it may have. Class identifiers are those that Athena's ``Event/xAOD`` packages declare.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.events.column import Column
from hepflow.events.layout import content_of, distinct, normal_layout
from hepflow.events.links import LINK_PARTS, NULL, container_id, container_name

__all__ = ["CLIDS", "FILE_PARTS", "LinkReader", "LinkWriter", "class_identifier", "link_key", "probable_class"]

FILE_PARTS = ("m_persKey", "m_persIndex")
"""Fields of a link in a file, both uint32; key 0 is the null link."""

_POLYNOMIAL = 0x95AC9329AC4BC9B5
_KEY = 0x3FFFFFFF

CLIDS: Mapping[str, int] = {
    "AFPData": 1167803130,
    "AFPProton": 1125087212,
    "AFPSiHit": 1306814364,
    "AFPSiHitsCluster": 1216541405,
    "AFPToFHit": 1307016706,
    "AFPToFTrack": 1321196854,
    "AFPTrack": 1315753026,
    "AFPVertex": 1148051298,
    "ALFAData": 1278139236,
    "BCMRawData": 1213590216,
    "BTagVertex": 1158124735,
    "BTagging": 1264356158,
    "BunchConf": 1244568624,
    "CMMCPHits": 1296557234,
    "CMMEtSums": 1175845346,
    "CMMJetHits": 1257186099,
    "CMXCPHits": 1303070088,
    "CMXCPTob": 1246252758,
    "CMXEtSums": 1179694440,
    "CMXJetHits": 1280264957,
    "CMXJetTob": 1232206365,
    "CMXRoI": 1097242098,
    "CPMHits": 1211912814,
    "CPMRoI": 1274067747,
    "CPMTobRoI": 1237399798,
    "CPMTower": 1267839700,
    "CaloCluster": 1219821989,
    "CaloRings": 1146041125,
    "CaloTower": 122830719,
    "CombinedMuonStrip": 1312941631,
    "CompositeParticle": 1213067199,
    "CutBookkeeper": 1234982351,
    "DiTauJet": 1281324766,
    "Egamma": 1087548811,
    "Electron": 1087532415,
    "EmTauRoI": 1078901071,
    "EventInfo": 1320594112,
    "FlowElement": 1158384067,
    "ForwardEventInfo": 1121437929,
    "GBlock": 1133057962,
    "HGTDCluster": 1419540398,
    "HIEventShape": 1155025655,
    "IParticle": 1241842700,
    "IParticleLink": 1339976047,
    "JEMEtSums": 1236231083,
    "JEMHits": 1251848444,
    "JEMRoI": 1198425825,
    "JEMTobRoI": 1207570804,
    "JGTower": 1174216567,
    "Jet": 1244316195,
    "JetElement": 1256167516,
    "JetRoI": 1132837218,
    "L1TopoRawData": 1185434818,
    "L1TopoSimResults": 983476512,
    "L2CombinedMuon": 1201561309,
    "L2IsoMuon": 1103714444,
    "L2StandAloneMuon": 1307619630,
    "LumiBlockRange": 1115934851,
    "MBTSModule": 1338382772,
    "MDTCandData": 1490151757,
    "MMCluster": 1171576513,
    "MdtDriftCircle": 1098001914,
    "MdtTwinDriftCircle": 1134789784,
    "MeasurementStateOnSurface": 1204230301,
    "MissingET": 1103569747,
    "MissingETAssociation": 135890658,
    "MissingETComponent": 36625032,
    "Muon": 1178459224,
    "MuonRoI": 1311809787,
    "MuonSegment": 1129401482,
    "MuonSimHit": 1326558483,
    "NSWCandData": 1093508001,
    "NSWMMTPRDO": 1095524642,
    "NSWTPRDO": 1095524641,
    "NeutralParticle": 1293931985,
    "PFO": 1177172577,
    "Particle": 1141859363,
    "Photon": 1105575213,
    "PixelCluster": 1318540388,
    "PrepRawData": 1082690359,
    "RODHeader": 1152973036,
    "RingSet": 1213110449,
    "RingSetConf": 1157997427,
    "RpcMeasurement": 1183064885,
    "RpcStrip": 1274417297,
    "RpcStrip2D": 1233075333,
    "SCTRawHitValidation": 1314367244,
    "SlowMuon": 1143850792,
    "SpacePoint": 1318142340,
    "StripCluster": 1323510650,
    "TauJet": 1177172564,
    "TauTrack": 1306133771,
    "TgcStrip": 1245357318,
    "TrackCaloCluster": 1138314170,
    "TrackJacobian": 1171329027,
    "TrackMeasurement": 1156046539,
    "TrackMeasurementValidation": 1123888166,
    "TrackParameters": 1290390948,
    "TrackParticle": 1287425431,
    "TrackParticleClusterAssociation": 1245808135,
    "TrackState": 1176000136,
    "TrackStateValidation": 1294535933,
    "TrackSummary": 1301463363,
    "TrackSurface": 1202250908,
    "TrigBphys": 1329567956,
    "TrigCaloCluster": 1153319721,
    "TrigComposite": 1333228823,
    "TrigEMCluster": 1264979038,
    "TrigElectron": 1119645201,
    "TrigHisto2D": 1207147901,
    "TrigMissingET": 1134334,
    "TrigPassBits": 1118282457,
    "TrigPhoton": 1141180511,
    "TrigRNNOutput": 1107329221,
    "TrigRingerRings": 1302123242,
    "TrigSpacePointCounts": 1208170683,
    "TrigT2MbtsBits": 1119932133,
    "TrigT2ZdcSignals": 1092578609,
    "TrigTrackCounts": 1327042225,
    "TrigVertexCounts": 1126179625,
    "TriggerMenu": 1107011239,
    "TriggerMenuJson": 1221262614,
    "TriggerTower": 1174216566,
    "TruthEvent": 1200227006,
    "TruthEventBase": 1280408222,
    "TruthMetaData": 1188015687,
    "TruthParticle": 1237340765,
    "TruthPileupEvent": 1141476193,
    "TruthVertex": 1239726567,
    "UncalibratedMeasurement": 1194368759,
    "Vertex": 1092961325,
    "ZdcModule": 1110760440,
    "eFexEMRoI": 1176191655,
    "eFexTauRoI": 1135433450,
    "eFexTower": 1159375134,
    "gFexGlobalRoI": 1186121853,
    "gFexJetRoI": 1176191653,
    "gFexTower": 1149245544,
    "jFexFwdElRoI": 1130400193,
    "jFexLRJetRoI": 1251138464,
    "jFexMETRoI": 1122466163,
    "jFexSRJetRoI": 1240957639,
    "jFexSumETRoI": 1334096337,
    "jFexTauRoI": 1339336323,
    "jFexTower": 1151914207,
    "sTgcMeas": 1285126101,
    "sTgcPad": 1310723933,
    "sTgcStrip": 1114862428,
    "sTgcWire": 1281983002,
}
"""xAOD class of an object → class identifier of its container (of the map or list that holds it)."""

_BASES = tuple(CLIDS[name] for name in ("IParticle", "Egamma", "TruthEventBase", "UncalibratedMeasurement"))
_CLASS = re.compile(r"(?:DataVector<)?xAOD::(?P<name>\w+?)(?:Container|Map)?(?:_v\d+)?(?:\s*,.*)?>?")
_NAMED = (
    (r"Tau\w*ParticleFlowObjects\w*", "PFO"),
    (r"TauTracks\w*", "TauTrack"),
    (r"DiTauJets\w*", "DiTauJet"),
    (r"TauJets\w*", "TauJet"),
    (r"Truth\w*Vertices", "TruthVertex"),
    (r"TruthEvents", "TruthEvent"),
    (r"\w*Jets", "Jet"),
    (r"Truth\w+|\w*TruthParticles|BornLeptons", "TruthParticle"),
    (r"\w*TrackParticles", "TrackParticle"),
    (r"\w*Vertices", "Vertex"),
    (r"\w*Clusters", "CaloCluster"),
    (r"\w*FlowObjects|\w*UFOs?", "FlowElement"),
    (r"\w*MuonSegments", "MuonSegment"),
    (r"\w*Electrons", "Electron"),
    (r"\w*Photons", "Photon"),
    (r"\w*Muons", "Muon"),
    (r"BTagging_\w+", "BTagging"),
)
"""How ATLAS names containers → the class of their objects, for links that a tool of hepflow makes; earlier ones win."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Target:
    """What a file says of a container that links point to: their key, and the class that it was made with."""

    key: int
    clid: int


@lru_cache(maxsize=1)
def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


@lru_cache(maxsize=65536)
def _register(container: str) -> int:
    """Return CRC-64 of a name: reflected, register starting with all ones, no final inversion."""
    table, register = _crc_table(), 0xFFFFFFFFFFFFFFFF
    for byte in container.encode():
        register = (register >> 8) ^ table[(register ^ byte) & 0xFF]
    return register


def link_key(container: str, clid: int) -> int:
    """Return the 30-bit key of a container: CRC-64 over its name, then over the bytes of its class identifier, low
    byte first until the rest is zero (Athena's ``SGKey``).
    """
    table, register = _crc_table(), _register(container)
    while clid:
        register = (register >> 8) ^ table[(register ^ clid) & 0xFF]
        clid >>= 8
    return register & _KEY


def class_identifier(class_name: str) -> int | None:
    """Return the class identifier of a container of this C++ class, or None for one that is unknown.

    >>> class_identifier("DataVector<xAOD::TauJet_v3>")
    1177172564
    """
    match = _CLASS.fullmatch(class_name.replace("std::", "").strip())
    return CLIDS.get(match["name"]) if match else None


def probable_class(container: str) -> int:
    """Return the class identifier that a container of this name has in ATLAS's files; 0 where the name says nothing.

    >>> probable_class("AnalysisTauJets") == class_identifier("xAOD::TauJetContainer")
    True
    """
    short = container.removeprefix("Analysis")
    return next((CLIDS[name] for pattern, name in _NAMED if re.fullmatch(pattern, short)), 0)


class LinkReader:
    """Translates the links of one file into those of the event store.

    ``containers`` maps every container as the file spells it to hepflow's name, ``classes`` to its C++ class where
    the file tells it.
    """

    def __init__(self, containers: Mapping[str, str], classes: Mapping[str, str]) -> None:
        self._names = {**dict(zip(classes, classes, strict=True)), **containers}
        known = {container: class_identifier(name) for container, name in classes.items()}
        self._known = {container: clid for container, clid in known.items() if clid is not None}
        self._found: dict[int, tuple[int, _Target | None]] = {0: (NULL, None)}

    def __call__(self, column: Column) -> Column:
        """Return a column of links with containers instead of keys; unknown ones become negative."""
        found: dict[int, _Target] = {}

        def translate(key: int) -> int:
            container, target = self._container(key)
            if target is not None:
                found[container] = target
            return container

        content = _translated(column.content, (FILE_PARTS, LINK_PARTS), np.int64, translate)
        return replace(column, content=content, targets=found)

    def _container(self, key: int) -> tuple[int, _Target | None]:
        if key not in self._found:
            target = self._search(key)
            self._found[key] = (-key, None) if target is None else target
        return self._found[key]

    def _search(self, key: int) -> tuple[int, _Target] | None:
        """Return the container that a key stands for: by its class in the file or its name, else by any class."""
        pairs = self._likely.get(key) or self._possible.get(key, {})
        if len(pairs) > 1:
            _log.warning("links with the key %d may point into %s: they lead nowhere", key, " or ".join(sorted(pairs)))
        if len(pairs) != 1:
            return None
        [(spelled, clid)] = pairs.items()
        return container_id(self._names[spelled]), _Target(key, clid)

    @cached_property
    def _likely(self) -> dict[int, dict[str, int]]:
        """Key → container → class identifier, with the classes that the file tells or the names suggest."""
        return self._table(lambda name: {self._known.get(name, probable_class(name)), 0})

    @cached_property
    def _possible(self) -> dict[int, dict[str, int]]:
        """The same with every class that a container may be taken for."""
        return self._table(lambda name: _BASES if name in self._known else CLIDS.values())

    def _table(self, classes: Callable[[str], Iterable[int]]) -> dict[int, dict[str, int]]:
        table: dict[int, dict[str, int]] = {}
        for name in self._names:
            for clid in classes(name):
                table.setdefault(link_key(name, clid), {})[name] = clid
        return table


class LinkWriter:
    """Translates links of the event store into those of a file; ``spelled`` maps hepflow's containers to their names
    in the file.
    """

    def __init__(self, spelled: Mapping[str, str]) -> None:
        self._spelled = spelled
        self._own: dict[int, set[str]] = defaultdict(set)
        for container in spelled.values():
            for clid in (probable_class(container), 0):
                self._own[link_key(container, clid)].add(container)
        self._told: set[int] = set()

    def __call__(self, column: Column) -> Column:
        """Return a column of links with keys; a target that the file does not get keeps the key that it had."""
        targets = column.targets or {}

        def translate(number: int) -> int:
            return self._key(number, targets.get(number))

        content = _translated(column.content, (LINK_PARTS, FILE_PARTS), np.uint32, translate)
        return replace(column, content=content, targets=None)

    def _key(self, number: int, target: _Target | None) -> int:
        if number <= NULL:
            return -number if number == NULL or self._is_free(-number) else NULL
        name = container_name(number)
        if name not in self._spelled and target is not None:
            return target.key
        spelled = self._spelled.get(name, name)
        return link_key(spelled, target.clid if target is not None else probable_class(spelled))

    def _is_free(self, key: int) -> bool:
        """Tell whether a key of the input, whose target is not clear, leads nowhere in the output, too."""
        names = self._own.get(key, set())
        if len(names) == 1 and key not in self._told:
            self._told.add(key)
            _log.warning(
                "links with the key %d, whose target in the input is not clear, would point into %s of the output; "
                "they are written as null links",
                key,
                *names,
            )
        return len(names) != 1


def _translated(
    content: Any, parts: tuple[tuple[str, str], tuple[str, str]], dtype: npt.DTypeLike, translate: Callable[[int], int]
) -> Any:
    """Return links, in lists of any depth, with other fields: the first number translated, the index not copied."""
    import awkward as ak

    def walk(layout: Any) -> Any:
        if layout.is_list:
            return ak.contents.ListOffsetArray(layout.offsets, walk(layout.content))
        numbers, index = (np.asarray(layout[part].data) for part in parts[0])
        made = np.zeros(len(numbers), dtype=dtype)
        for number in distinct(numbers):
            if new := translate(number):
                made[numbers == number] = new
        fields = [ak.contents.NumpyArray(made), ak.contents.NumpyArray(index.astype(np.uint32, copy=False))]
        return ak.contents.RecordArray(fields, list(parts[1]))

    return content_of(walk(normal_layout(content.layout)))
