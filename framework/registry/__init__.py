"""Everything that can be named is found here: plugins, and the tools, streams, readers, samples and job options they
bring.
"""

from __future__ import annotations
