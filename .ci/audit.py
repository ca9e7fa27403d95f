"""Known holes in what is installed, by pip-audit: fails on one, and says loudly what could not be looked up.

pip-audit calls a package that its database does not answer for "skipped" and still reports no vulnerabilities; where
the database is out of reach that is every package, and nothing has been audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECONDS = 120  # for all of it: a database that does not answer must not hold up the tests' result


def main() -> int:
    try:
        packages = looked_up()
    except (subprocess.SubprocessError, ValueError, KeyError) as error:
        print(f"AUDIT: NOTHING WAS LOOKED UP: {error}", file=sys.stderr)
        return 0
    holes = [(item["name"], hole["id"]) for item in packages for hole in item.get("vulns", [])]
    skipped = [item["name"] for item in packages if "skip_reason" in item]
    print(f"audit: {len(packages) - len(skipped)} packages looked up, {len(skipped)} not known to the database")
    if len(packages) == len(skipped):
        print("AUDIT: THE DATABASE IS OUT OF REACH, NOTHING WAS LOOKED UP", file=sys.stderr)
    for name, hole in holes:
        print(f"{name}: {hole}", file=sys.stderr)
    return 1 if holes else 0


def looked_up() -> list[dict[str, Any]]:
    """What pip-audit says of each installed package."""
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "pip-audit>=2.9,<3"], check=True, timeout=SECONDS)
    options = ["--local", "--format", "json", "--progress-spinner", "off", "--timeout", "5"]
    command = [sys.executable, "-m", "pip_audit", *options]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
    try:
        packages: list[dict[str, Any]] = json.loads(found.stdout)["dependencies"]
    except ValueError as error:  # it ended without a report, as where no database answers
        last = found.stderr.strip().splitlines()[-1:] or ["pip-audit said nothing"]
        raise ValueError(last[0]) from error
    return packages


if __name__ == "__main__":
    sys.exit(main())
