"""The type checker that conftest puts behind every annotation: beartype, lenient in three places.

An int serves where a float is asked for (PEP 484); streams are not looked into, since those of a test run lack what beartype
asks; and neither is Self, which beartype knows only in classes that it decorates as a whole.
"""

from typing import IO, Any, BinaryIO, Self, TextIO

from beartype import BeartypeConf, FrozenDict, beartype

LENIENT = dict.fromkeys((IO, IO[Any], IO[bytes], IO[str], BinaryIO, TextIO, Self), object)

check = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict(LENIENT)))
