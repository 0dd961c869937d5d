"""What the streams that write ROOT files share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hepflow import Context, Property, Stream
from hepflow.files import replacing

__all__ = ["RootStream"]


class RootStream(Stream):
    """A stream of ROOT files: one file for each work unit, or one in all with ``Merge``."""

    Compression = Property("LZ4", "compression", choices=("LZ4", "ZSTD", "ZLIB", "none"))
    Merge = Property(False, "join the parts into one file <stream>.root at the end")

    def close(self, parts: Sequence[Path], context: Context) -> list[Path]:
        """Give the parts their final names, or join them; the files say which inputs were left out."""
        paths = self._merge(parts, context) if self.Merge else super().close(parts, context)
        if context.left_out:
            from hepflow.io.writers import add_metadata

            for path in paths:
                add_metadata(path, {"left_out": list(context.left_out)})
        return paths

    def _merge(self, parts: Sequence[Path], context: Context) -> list[Path]:
        from hepflow.io.merging import merge_files

        target = context.path(f"{self.name}{self.suffix}")
        with replacing(target) as temporary:
            merge_files(parts, temporary, self.Compression)
        return [target]
