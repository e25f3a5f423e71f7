"""Finished scenarios, a line of JSON each, with the commit they are of: an interrupted run goes on where it was."""
import json
import subprocess

from engines import ROOT


WRITTEN_HERE = [":!docs/BENCHMARKS.md", ":!docs/bench"]


def commit():
    """Of the tree that is measured; changes that are not committed show, but for what a benchmark has written."""
    name = subprocess.run(["git", "describe", "--always", "--abbrev=12", "--exclude=*"], cwd=ROOT, capture_output=True,
                          text=True, check=True).stdout.strip()
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", ".", *WRITTEN_HERE], cwd=ROOT, check=False)
    return name if changed.returncode == 0 else name + "-dirty"


class Results:
    def __init__(self, path, fresh):
        self.path, self.commit, self.rows = path, commit(), {}
        if path.exists():
            self._read()
        self.stale = set(self.rows) if fresh else set()  # to be measured again; until then they are known

    def _read(self):
        for line in self.path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the line at which an earlier run was interrupted
            if entry["commit"] == self.commit:
                self.rows[entry["key"]] = entry["row"]

    def __contains__(self, key):
        return key in self.rows and key not in self.stale

    def __getitem__(self, key):
        return self.rows[key]

    def add(self, key, row):
        self.rows[key] = row
        self.stale.discard(key)
        with self.path.open("a") as out:
            out.write(json.dumps({"commit": self.commit, "key": key, "row": row}) + "\n")
