"""One function per verb: every decision of the product is here, and no surface can bypass one."""

from __future__ import annotations
