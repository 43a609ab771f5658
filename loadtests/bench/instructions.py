#!/usr/bin/env python3
"""Instructions per request of both engines, compared with those in instructions.json.

    instructions.py              fails when a value has grown by more than 10 %
    instructions.py --record     writes the values into the file

The values depend on the compiler and a little on the processor (the C library chooses
its memcpy by it): record them where they will be compared. LB names the lb to run; the
release build by default.
"""

import argparse
import json
import sys

import rig
import callgrind
import requirements

RECORD = rig.HERE / "instructions.json"

MAY_GROW = 0.10

NEEDED = ("nginx", "h2load", "openssl", "taskset", "valgrind", "callgrind_control")


def main() -> None:
    parser = argparse.ArgumentParser(description="instructions per request")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    requirements.check({name: requirements.COMMANDS[name] for name in NEEDED}, chart=False)
    with rig.rig() as (proxies, _):
        measured = {name: callgrind.count(proxies, name) for name in callgrind.ENGINES}
    if options.record:
        RECORD.write_text(json.dumps(measured, indent=2) + "\n")
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for line in lines(measured, recorded):
        print(line)
    grown = list(growths(measured, recorded))
    for line in grown:
        print(f"FAILED  {line}")
    sys.exit(1 if grown else 0)


def lines(measured: dict[str, int], recorded: dict[str, int]):
    yield f"{'instructions a request':<24}{'measured':>10}{'recorded':>10}{'':>9}"
    for name, value in measured.items():
        if name in recorded:
            change = f"{(value / recorded[name] - 1) * 100:+.1f} %"
            yield f"{name:<24}{value:>10}{recorded[name]:>10}{change:>9}"
        else:
            yield f"{name:<24}{value:>10}{'-':>10}"


def growths(measured: dict[str, int], recorded: dict[str, int]):
    for name, value in measured.items():
        if name not in recorded:
            yield f"{name}: no value is recorded; make bench-instructions RECORD=1"
        elif value > recorded[name] * (1 + MAY_GROW):
            yield (
                f"{name}: {value} instructions a request, {recorded[name]} are recorded, and they may grow by "
                f"{MAY_GROW:.0%}. If that is wanted: make bench-instructions RECORD=1, and say why in the commit"
            )


if __name__ == "__main__":
    main()
