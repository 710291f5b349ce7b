"""The whole site, gathered and rendered once for all tests: without what happens to be stored of claims."""

from functools import cache
from pathlib import Path

from nearfar.catalogue.site.contents import Contents, gather
from nearfar.catalogue.site.render import render

NO_RESULTS = Path("there are no results here")


@cache
def whole() -> Contents:
    """What there is to tell."""
    return gather(results=NO_RESULTS)


@cache
def pages() -> dict[str, str]:
    """All pages by file name."""
    return render(whole())
