"""Tables as CSV, in parts that can be written as they are made."""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

_ROWS = 1000  # a part


def csv_parts(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[bytes]:
    """The heading and the rows as UTF-8, some rows at a time.

    Columns that a row does not have stay empty; what has no column is left out.
    """
    heading = dict(zip(columns, columns, strict=True))
    rest = itertools.chain([heading], rows)
    while part := list(itertools.islice(rest, _ROWS)):
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writerows(part)
        yield text.getvalue().encode(errors="backslashreplace")  # names of files need not be text
