"""`interbert ab report`: checks first, then what differs, as a page and as JSON."""

import argparse
from pathlib import Path

HELP = "write report.html and report.json beside the events: checks first, then what differs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "events", type=Path, metavar="DIR", help="of `interbert serve --events`, which may be running"
    )


def run(arguments: argparse.Namespace) -> int:
    from interbert.ab.page import page_of, percent, points
    from interbert.ab.read import read_trial
    from interbert.ab.report import report_of
    from interbert.files import write_json, write_text

    report = report_of(read_trial(arguments.events))
    write_json(arguments.events / "report.json", report)
    write_text(arguments.events / "report.html", page_of(report))
    for warning in report["warnings"]:
        print(f"warning: {warning}")
    for name, rate in report["figures"]["ctr"]["arms"].items():
        users = f"{name}: {report['arms'][name]['users']:,} users"
        told = "" if rate is None else f", clicks an item seen {percent(rate['value'])}"
        told += "" if rate is None else f" ({percent(rate['low'])} to {percent(rate['high'])})"
        print(users + told)
    found = report["figures"]["ctr"]["difference"]
    if found is not None:
        within = f"{points(found['low'])} to {points(found['high'])}"
        print(f"difference: {points(found['value'])} ({within}), p = {found['p']:.3g}")
    print(arguments.events / "report.html")
    return 0
