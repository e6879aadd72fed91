"""Machines of our own: a network namespace each, CRNs also one of process ids.

The hub is the namespace this process is in: it has the bridge. Each machine is
linked to it by a veth pair. Who hears whom is decided at the hearer's own
firewall, packet by packet, so a split can be one-way.
"""
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOM = "/run/berth-chaos"  # a memory file system that only we see
HUB = "10.77.0.1"
PORT, PROXY = 7101, 7999
MARK = 77
TOOLS = ("ip", "nft", "unshare", "strace", "bwrap", "mount")


def missing(build):
    """What this machine cannot do, in words; None if it can all."""
    if os.geteuid() != 0:
        return "namespaces and fences need root's rights"
    for tool in TOOLS:
        if shutil.which(tool) is None:
            return "no " + tool
    for name in ("berthd", "berth-agent", "berth-fencer", "berth",
                 "berth-ccn"):
        if not os.path.exists(os.path.join(build, name)):
            return "%s is not built" % name
    for what, words in (
            ("network namespaces and nft",
             "nft add table ip t && nft 'add chain ip t c "
             "{ type nat hook output priority -100 ; }' && "
             "nft add rule ip t c tcp dport 1 redirect to :2 && "
             "ip link add va type veth peer name vb && "
             "ip link add vc type bridge"),
            ("a memory file system", "mount -t tmpfs none /run"),
            ("strace", "strace -o /dev/null -f -e trace=fsync true")):
        done = subprocess.run(
            ["unshare", "--net", "--mount", "--pid", "--fork",
             "--mount-proc", "sh", "-c", words], capture_output=True,
            text=True)
        if done.returncode:
            return "no %s: %s" % (what, done.stderr.strip()[-200:])
    return None


def die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def lock(path):
    file = open(path, "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file
    except BlockingIOError:
        return None


# --- cgroups: what outlives the namespaces ----

def cgroup_leaf(crn, directory):
    """The fencer's name for its groups (node/agent/cgroup.c)."""
    total = 0xcbf29ce484222325
    for byte in bytes.fromhex(crn) + os.path.realpath(directory).encode():
        total = (total ^ byte) * 0x100000001b3 % 2**64
    return "berth-%016x" % total


def remember_cgroup(out, leaf):
    with open(os.path.join(out, "cgroups"), "a") as file:
        file.write(leaf + "\n")


def sweep(out):
    """Removes the groups of runs that ended in whatever way."""
    path = os.path.join(out, "cgroups")
    try:
        with open(path) as file:
            leaves = set(file.read().split())
    except FileNotFoundError:
        return
    points = [line.split()[1] for line in open("/proc/mounts")
              if line.split()[2] in ("cgroup", "cgroup2")]
    for _ in range(40):  # a killed process leaves its group a little later
        left = [os.path.join(p, leaf) for p in points for leaf in leaves]
        left = [folder for folder in left if os.path.isdir(folder)]
        for folder in left:
            for base, _, _ in os.walk(folder, topdown=False):
                try:
                    os.rmdir(base)
                except OSError:
                    pass
        if not left:
            os.unlink(path)
            return
        time.sleep(0.1)


# --- being the first process ----

def as_init(work):
    """Runs work in a child; this process reaps whatever ends, and notes how."""
    os.makedirs(ROOM, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "none", ROOM)
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "none", "/run/netns")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work()
        except BaseException:  # told, and everything ends
            import traceback
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
    signal.signal(signal.SIGINT, lambda *_: None)
    with open(ROOM + "/reaped", "a", buffering=1) as reaped:
        while True:
            try:
                pid, status = os.wait()
            except InterruptedError:
                continue
            reaped.write("%d %d\n" % (pid, status))
            if pid == child:
                return os.waitstatus_to_exitcode(status) & 255


def reaped():
    """pid: wait status, of whatever ended and was nobody's child any more."""
    table = {}
    with open(ROOM + "/reaped") as file:
        for line in file:
            pid, status = line.split()
            table[int(pid)] = int(status)
    return table


# --- commands ----

def run(*words, text=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("%s: %s" % (" ".join(words), done.stderr.strip()))
    return done.stdout


class Machine:
    """A namespace of a network card, a name and an address."""

    def __init__(self, name, address):
        self.name, self.address = name, address
        self.init = None
        self.off = self.gone = False
        self.lock = threading.Lock()
        self.deaf_to = {}  # address: how many faults want it

    def make(self):
        link = "v" + self.name
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", link, "type", "veth", "peer", "name",
            "eth0", "netns", self.name)
        run("ip", "link", "set", link, "master", "hub", "up")
        for words in (("link", "set", "lo", "up"),
                      ("addr", "add", self.address + "/16", "dev", "eth0"),
                      ("link", "set", "eth0", "up")):
            run("ip", "-n", self.name, *words)
        self.nft("""
table ip chaos {
	set deaf_to {
		type ipv4_addr
	}
	chain hears {
		type filter hook input priority -10
		ip saddr @deaf_to drop
	}
	chain calls {
		type nat hook output priority -100
		meta mark %d return
		ip daddr 10.77.1.0/24 tcp dport %d redirect to :%d
	}
}
""" % (MARK, PORT, PROXY))

    @property
    def netns(self):
        return "/run/netns/" + self.name

    def nft(self, text):
        run("ip", "netns", "exec", self.name, "nft", "-f", "-", text=text)

    def deafen(self, addresses):
        self._deaf(addresses, 1)

    def hear(self, addresses):
        self._deaf(addresses, -1)

    def _deaf(self, addresses, by):
        with self.lock:
            changed = []
            for address in addresses:
                before = self.deaf_to.get(address, 0)
                self.deaf_to[address] = before + by
                if not before or not before + by:
                    changed.append(address)
            if changed and not self.gone:
                self.nft("%s element ip chaos deaf_to { %s }\n" % (
                    "add" if by > 0 else "delete", ", ".join(changed)))

    def remove(self):
        with self.lock:
            self.gone = True
            run("ip", "netns", "del", self.name)

    # --- processes ----

    def power_on(self):
        """A namespace of process ids with a first process that reaps."""
        self.init = self.enter(["/bin/sh", "-c",
                                "mount -t proc proc /proc; while :; do "
                                "sleep 3600; done"], None, new=True)
        self.off = False
        end = time.monotonic() + 10
        comm = "/proc/%d/root/proc/1/comm" % self.init
        while not self.says(comm, "sh\n"):
            if time.monotonic() > end:
                raise RuntimeError("%s has no /proc" % self.name)
            time.sleep(0.02)

    @staticmethod
    def says(path, text):
        try:
            with open(path) as file:
                return file.read() == text
        except OSError:
            return False

    def power_off(self):
        """The kernel kills every process of the machine, programs too."""
        self.off = True
        kill(self.init, signal.SIGKILL)

    def enter(self, argv, log, new=False, env=None):
        """Starts a command in this machine; its pid as we see it."""
        if self.off and not new:
            raise RuntimeError("%s is off" % self.name)
        words = [sys.executable, "-ISE", os.path.join(HERE, "enter.py"),
                 json.dumps({"net": self.netns, "new": new,
                             "pid": self.init, "log": log, "argv": argv,
                             "env": env})]
        return int(run(*words))


def make_hub():
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "hub", "type", "bridge")
    run("ip", "addr", "add", HUB + "/16", "dev", "hub")
    run("ip", "link", "set", "hub", "up")


def kill(pid, number):
    try:
        if pid:
            os.kill(pid, number)
    except ProcessLookupError:
        pass


def dead(pid):
    """Gone, or a zombie whose parent has not looked yet."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (OSError, IndexError):
        return True


def started(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None


def now():
    """Nanoseconds by the clock that witnesses write."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
