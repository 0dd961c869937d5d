"""Tools that know no physics object in particular."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.common.define import Define, Filter
    from hepflow.plugins.common.goodruns import GoodRuns
    from hepflow.plugins.common.linked import LinkedObjects
    from hepflow.plugins.common.runjob import RunJob
    from hepflow.plugins.common.sampleclass import SampleClass
    from hepflow.plugins.common.unique import UniqueEvents

__all__ = ["Define", "Filter", "GoodRuns", "LinkedObjects", "RunJob", "SampleClass", "UniqueEvents"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Define": "define",
        "Filter": "define",
        "GoodRuns": "goodruns",
        "LinkedObjects": "linked",
        "RunJob": "runjob",
        "SampleClass": "sampleclass",
        "UniqueEvents": "unique",
    },
)
