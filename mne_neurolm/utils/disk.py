"""What the system says when there is no space left."""

from __future__ import annotations

import errno

#: Numbers of the errors of a full disk or a used-up quota, which no system has all of.
FULL_DISK = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
