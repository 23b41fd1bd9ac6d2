"""What the scripts share that measure the operator: a cluster of tests/cluster, the operator in it, its process, what
it asks of the API server, and pods that stand for runners without running anything."""
import argparse
import collections
import contextlib
import json
import math
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

from measure import OPEN_FILES, ROOT, TARGET, find, raise_open_files, shortened, show, stop

NAME = os.environ.get("BOTARMY_CLUSTER", "benches")
CLUSTER = os.path.join(ROOT, "tests", "cluster")
# Below Kubernetes: the processes of the cluster, and its logs.
FOLDER = f"/run/botarmy/{NAME}"
NAMESPACE = "botarmy"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:botarmy-operator"
# A node that is an object and nothing else, so that nothing runs what is bound to it.
FAKE_NODE = "fake-0"
# Bots of each runner, as fake-runners tells of them.
BOTS = 10
# Most runners of a run.
MOST_RUNNERS = 1000
# The operator takes 2,000 connections from one address, since pods have addresses of their own. These here are some that
# no pod gets: addresses of pods are given from the first one on.
RUNNERS_AN_ADDRESS = 1000
ADDRESSES = "10.88.255."
TICKS = os.sysconf("SC_CLK_TCK")
LOOK_SECONDS = 0.5
# The first time the programs of the cluster are built.
BUILD_SECONDS = 3600
# The controller of Jobs makes about 20 pods a second.
PODS_A_SECOND = 10


def arguments(doc, more):
    """The arguments of a script: what `more` adds to the parser, and those of the cluster."""
    usage, _, rest = doc.strip().partition("\n")
    parser = argparse.ArgumentParser(description=usage, epilog=rest, formatter_class=argparse.RawTextHelpFormatter)
    more(parser)
    parser.add_argument("--keep", action="store_true",
                        help="leave the cluster as it is at the end, and use one that was left")
    parser.add_argument("--image", metavar="FILE", help="the image's tar (default: it is built)")
    return parser.parse_args()


def call(command, given=None, patience=120):
    """What a command prints; its failure ends the script."""
    told = " ".join(command)
    try:
        ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=patience,
                             env={**os.environ, "BOTARMY_CLUSTER": NAME})
    except subprocess.TimeoutExpired:
        stop(f"{told} did not end within {patience} s")
    if ran.returncode:
        stop(f"{told} ended with {ran.returncode}:\n{shortened(ran.stderr or ran.stdout)}")
    return ran.stdout


def kubectl(*args, given=None, patience=120):
    """What kubectl prints."""
    return call([os.path.join(CLUSTER, "kubectl"), *args], given, patience)


def get(what, namespace):
    """An object, or a list of them."""
    return json.loads(kubectl("--namespace", namespace, "get", what, "-o", "json"))


def until(what, patience, look):
    """Waits until `look` gives something; gives that."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(LOOK_SECONDS)
    return stop(f"not within {patience} s: {what}")


# The cluster.

def is_up():
    """Whether the cluster lives."""
    status = subprocess.run([os.path.join(CLUSTER, "status"), NAME], capture_output=True, check=False, timeout=60)
    return status.returncode == 0


@contextlib.contextmanager
def cluster(args, replicas):
    """A cluster with an operator, or several; gone at the end, whatever happens, unless it is to be kept."""
    if "BOTARMY_KUBECONFIG" in os.environ:
        stop("BOTARMY_KUBECONFIG is set, and only the cluster of tests/cluster has its processes here; unset it")
    lives = is_up()
    if lives and not args.keep:
        stop(f"the cluster {NAME} is there; use it by --keep, or take it down: tests/cluster/down {NAME}")
    image = args.image or built_image()
    try:
        if not lives:
            show("starts a cluster (the first time its programs are built, which takes 15 to 20 minutes)")
            call([os.path.join(CLUSTER, "up"), NAME], patience=BUILD_SECONDS)
        show("installs the operator")
        call([os.path.join(CLUSTER, "load-image"), image])
        install(replicas)
        yield
    finally:
        show("")
        if not args.keep:
            subprocess.run([os.path.join(CLUSTER, "down"), NAME], check=False, timeout=300, capture_output=True)


def built_image():
    """The image's tar, built from these sources."""
    show("builds the image")
    call([os.path.join(ROOT, "operator", "image", "build")], patience=BUILD_SECONDS)
    return os.path.join(TARGET, "image", "botarmy.tar")


def install(replicas):
    """Installs both charts. The operator may take more memory than usual: how much is what is asked."""
    helm = [os.path.join(CLUSTER, "helm"), "upgrade", "--install", "--namespace", NAMESPACE]
    call([*helm, "botarmy-crds", os.path.join(ROOT, "charts", "botarmy-crds"), "--create-namespace"])
    call([*helm, "botarmy", os.path.join(ROOT, "charts", "botarmy"), "--wait", "--timeout", "120s",
          "--set", f"replicas={replicas}", "--set", "resources.limits.memory=4Gi"], patience=180)


# The operator.

def holder():
    """Who leads, as the Lease names it."""
    lease = get("leases/botarmy-operator", NAMESPACE)
    return lease["spec"].get("holderIdentity") or ""


def restart_operator():
    """Begins anew, so that nothing is left of what was measured before."""
    before = holder()
    operator = ["--namespace", NAMESPACE, "rollout"]
    kubectl(*operator, "restart", "deployment/botarmy-operator")
    kubectl(*operator, "status", "deployment/botarmy-operator", "--timeout=120s", patience=150)
    until("another operator leads", 60, lambda: holder() not in ("", before))


class Process:
    """The process of the operator that leads."""

    def __init__(self):
        pod = get(f"pods/{holder().split('_')[0]}", NAMESPACE)
        container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        with open(f"{FOLDER}/containerd/io.containerd.runtime.v2.task/k8s.io/{container}/init.pid",
                  encoding="utf-8") as file:
            self.pid = int(file.read())

    def told(self, name):
        """What the kernel tells of it."""
        try:
            with open(f"/proc/{self.pid}/{name}", encoding="utf-8") as file:
                return file.read()
        except OSError:
            return stop("the operator has died while it was measured; use --keep, and look at its pod")

    def cpu(self):
        """Seconds of processor time so far."""
        # The program's name stands in brackets, and may hold anything.
        fields = self.told("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self):
        """Bytes that are resident, and the most that ever were."""
        lines = dict(line.split(":", 1) for line in self.told("status").splitlines())
        return tuple(int(lines[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))

    def allow_open_files(self, wanted):
        """Lets it have so many files open; how many it might have had."""
        # Read from here, since another user's limits are told by prlimit only to those who may change them.
        line = re.search(r"^Max open files +(\d+) +(\d+)", self.told("limits"), re.MULTILINE)
        soft, hard = int(line.group(1)), int(line.group(2))
        if soft < wanted:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        return soft


class Audit:
    """What the operator asks of the API server from now on, by the audit log of the cluster."""

    def __init__(self):
        self.file = f"{FOLDER}/state/log/audit.log"
        self.begin = os.path.getsize(self.file)

    def calls(self):
        """How often it has asked for what, as VERB RESOURCE."""
        calls = collections.Counter()
        with open(self.file, "rb") as log:
            log.seek(self.begin)
            for line in log:
                if ACCOUNT.encode() not in line:
                    continue
                try:
                    event = json.loads(line)
                except ValueError:
                    # It is cut off here, or still being written.
                    continue
                # What is watched ends when the watch does.
                if event["user"]["username"] == ACCOUNT and event["stage"] == "ResponseComplete":
                    calls[asked(event)] += 1
        return calls


def asked(event):
    """What an event of the audit log is about."""
    about = event.get("objectRef", {})
    resource_name = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
    return f"{event['verb']} {resource_name or event.get('requestURI')}"


# Pods that stand for runners.

def fake_node():
    """Makes the node that has no kubelet. Nothing is placed on it but what names it."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": FAKE_NODE}, "spec": {"unschedulable": True}}
    kubectl("apply", "-f", "-", given=json.dumps(node))


def bot_run(name, runners=1, **more):
    """A BotRun whose pods are bound to that node, and stay there though it is never ready."""
    template = {"spec": {"nodeName": FAKE_NODE, "tolerations": [{"operator": "Exists"}]}}
    spec = {"trees": {"T": {"wait": "1s"}}, "bots": BOTS * runners, "runners": {"count": runners},
            "startDeadline": "2h", "template": template, **more}
    return {"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": name}, "spec": spec}


def create(namespace, runs):
    """Creates these runs in a namespace, which is made if it is not there."""
    if not kubectl("get", "namespaces", namespace, "--ignore-not-found", "-o", "name"):
        kubectl("create", "namespace", namespace)
    together = {"apiVersion": "v1", "kind": "List", "items": runs}
    kubectl("--namespace", namespace, "create", "-f", "-", given=json.dumps(together), patience=600)


def delete(*namespaces):
    """Lets go of namespaces, without waiting for it."""
    kubectl("delete", "namespaces", *namespaces, "--wait=false", "--ignore-not-found")


def wait_for(namespace, what, condition, patience):
    """Waits until all objects of a kind have come to a condition."""
    kubectl("--namespace", namespace, "wait", f"--for=condition={condition}", what, "--all",
            f"--timeout={patience}s", patience=patience + 30)


def addresses(runners):
    """Addresses for so many runners, which the node has from now on."""
    found = [f"{ADDRESSES}{place + 1}" for place in range(math.ceil(runners / RUNNERS_AN_ADDRESS))]
    for address in found:
        call([os.path.join(CLUSTER, "enter"), "ip", "address", "replace", f"{address}/16", "dev", "cni0"])
    return found


class FakeRunners:
    """The program that stands for the pods of a namespace, until the end of the `with`."""

    def __init__(self, namespace, runners, seconds):
        raise_open_files(max(OPEN_FILES, 2 * runners))
        self.patience = 300 + runners // PODS_A_SECOND
        self.limit = self.patience + seconds + 300
        self.told = tempfile.TemporaryFile("w+", encoding="utf-8")
        command = [os.path.join(CLUSTER, "enter"), find("fake-runners"), "run", "--namespace", namespace,
                   "--runners", str(runners), "--seconds", str(seconds), "--patience", str(self.patience),
                   "--from", ",".join(addresses(runners))]
        self.process = subprocess.Popen(command, stdout=self.told, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, "BOTARMY_CLUSTER": NAME})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        self.told.close()

    def until_at_work(self):
        """Waits until all of them are at work; they give up by themselves when that takes too long."""
        said = []
        for line in self.process.stderr:
            said.append(line)
            show(line.strip())
            if line.strip().endswith("are at work"):
                return
        stop("".join(said) or "fake-runners has ended without a word")

    def figures(self):
        """Waits for the end; what they have seen."""
        try:
            _, said = self.process.communicate(timeout=self.limit)
        except subprocess.TimeoutExpired:
            stop(f"fake-runners did not end within {self.limit} s")
        self.told.seek(0)
        told = self.told.read()
        if self.process.returncode:
            stop(f"fake-runners ended with {self.process.returncode}:\n{shortened(said)}{shortened(told)}")
        return json.loads(told)


def split(runners, deltas):
    """What the parts of a check-in cost."""
    show("measures the parts of a check-in")
    return json.loads(call([find("fake-runners"), "split", "--runners", str(runners), "--deltas", str(deltas)],
                           patience=300))


def numbers(text):
    """Reads 100,1000: numbers above zero."""
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text}: each has to be above zero")
    return found


def note(text):
    """Says something that belongs to the figures and is none."""
    show("")
    print(text, file=sys.stderr)
