"""The cluster: its machines, their configuration, what runs on them."""
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import box
from box import ROOM
from cluster import Failed, UnixConnection, until

HTTP, ADMIN_TLS, DOOR, CCN = 7201, 7301, 7401, 4024
DISK_MIB = 192
# ttl_a, ttl_s, heartbeat in seconds; k_ms of a CRN (lease.md, 2.6)
PROFILES = {"fast": (4, 5.2, 0.5, 900), "default": (10, 12.5, 1, 1800),
            "calm": (30, 36, 3, 4500)}
PROFILES["apart"] = PROFILES["default"]
APART_S = 0.05  # each way: replicas that are 100 ms apart there and back


class Daemon:
    """One process that ought to run, unless a fault wants it down."""

    def __init__(self, world, name, machine, argv):
        self.world, self.name, self.machine = world, name, machine
        self.argv, self.pid, self.down = argv, None, 0
        self.lives = 0
        self.before = None  # called before each start
        self.asked = None  # the pid that was asked to end
        self.log = os.path.join(world.logs, name + ".log")
        self.lock = threading.RLock()

    def start(self):
        with self.lock:
            if self.pid and not box.dead(self.pid):
                return
            if self.before:
                self.before()
            self.pid = self.machine.enter(self.argv, self.log,
                                          env=self.world.env)
            self.lives += 1

    def signal(self, number):
        with self.lock:
            box.kill(self.pid, number)

    def kill(self):
        """SIGKILL, and stays down until up() undoes it."""
        with self.lock:
            self.down += 1
            box.kill(self.pid, signal.SIGKILL)

    def up(self):
        with self.lock:
            self.down -= 1
            if not self.down:
                self.start()

    def alive(self):
        return bool(self.pid) and not box.dead(self.pid)

    def last_words(self, lines=12):
        try:
            with open(self.log, errors="replace") as file:
                return [x[:300] for x in file.read().splitlines()[-lines:]]
        except OSError:
            return []


class Replica:
    def __init__(self, world, number):
        self.world, self.id, self.name = world, number, "r%d" % number
        self.machine = box.Machine(self.name, self.address_of(number)[1])
        self.folder = os.path.join(ROOM, self.name)
        self.data = os.path.join(self.folder, "data")
        self.address = "%s:%d" % (self.machine.address, box.PORT)
        self.daemon = Daemon(world, self.name, self.machine, [
            world.program("berthd"), "--config",
            os.path.join(self.folder, "berthd.conf")])
        self.member = True
        self.listed = set()  # ids in the file that it was started with
        self.daemon.before = self.configure

    def make(self):
        self.machine.make()
        os.makedirs(self.data)
        box.run("mount", "-t", "tmpfs", "-o", "size=%dm" % DISK_MIB, "none",
                self.data)
        self.world.issue(self.name, "replica/%d" % self.id,
                         self.machine.address)

    def unmake(self):
        """Off for good: its process, its disk, its machine."""
        self.member = False
        self.daemon.down += 1
        self.daemon.signal(signal.SIGKILL)
        until(10, self.name + " is dead", lambda: not self.daemon.alive())
        box.run("umount", "-l", self.data)
        self.machine.remove()

    def configure(self):
        """Written anew before each start, as by a diligent operator."""
        w, at = self.world, self.machine.address
        seconds = w.profile[0]
        lines = [
            'cluster = "chaos"; directory = "%s"; id = %d;' % (
                self.data, self.id),
            'pki = "%s/pki/%s";' % (ROOM, self.name),
            'listen = "%s:%d"; http = "%s:%d"; admin_tls = "%s:%d";' % (
                at, box.PORT, at, HTTP, at, ADMIN_TLS),
            'profile = "%s"; election_ms = %d;' % (
                w.berth_profile, 500 if seconds < 10 else 1000),
            'watchdog_none_ok = true; unfenced_hold_ok = false;',
            'ccns = [ "http://%s:%d" ]; ccn_poll_ms = 500;' % (
                w.ccn.machine.address, CCN)]
        lines += self.who()
        lines += ['crns = (' + ", ".join(
            '{ hash = "%s"; name = "%s"; }' % (c.hash, c.name)
            for c in w.crns) + ');']
        with open(os.path.join(self.folder, "berthd.conf"), "w") as file:
            file.write("\n".join(lines) + "\n")

    def who(self):
        founders = self.world.options.replicas
        peers = self.world.members()
        if self not in peers:
            peers.append(self)
        self.listed = {r.id for r in peers}
        coming = [Replica.address_of(i) for i in self.world.coming()
                  if i not in self.listed]
        self.listed |= set(self.world.coming())
        rows = ['{ id = %d; address = "%s:%d"; http = "%s:%d"; joins = %s; }'
                % (r[0], r[1], box.PORT, r[1], HTTP,
                   "true" if r[0] > founders else "false")
                for r in [(r.id, r.machine.address) for r in peers] + coming]
        return ["%s = true;" % ("bootstrap" if self.id <= founders else
                                "join"), "peers = (%s);" % ", ".join(rows)]

    @staticmethod
    def address_of(number):
        return number, "10.77.1.%d" % number

    # --- asking ----

    def ask(self, method, path, body=None, timeout=5, heads=None, admin=False):
        """status, headers (lower case), value; status 0: nobody answered,
        -1: nobody was there to be asked."""
        if admin:
            link = UnixConnection(self.data + "/admin.sock", timeout)
        else:
            link = http.client.HTTPConnection(self.machine.address, HTTP,
                                              timeout=timeout)
        try:
            try:
                link.connect()
            except OSError:
                return -1, {}, None
            link.request(method, path, body and json.dumps(body), heads or {})
            answer = link.getresponse()
            data = answer.read()
            heads = {k.lower(): v for k, v in answer.getheaders()}
            try:
                return answer.status, heads, json.loads(data or b"null")
            except ValueError:
                return answer.status, heads, data.decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, {}, None
        finally:
            link.close()

    def metric(self, name):
        _, _, text = self.ask("GET", "/metrics", timeout=3)
        for line in (text or "").splitlines():
            if line.startswith(name + " "):
                return int(float(line.split()[1]))
        return None


class Crn:
    def __init__(self, world, number):
        self.world, self.name = world, "crn%d" % number
        self.machine = box.Machine(self.name, "10.77.2.%d" % number)
        self.hash = hashlib.sha256(b"chaos %d %s %d" % (
            os.getpid(), world.stamp.encode(), number)).hexdigest()
        self.folder = os.path.join(ROOM, self.name)
        self.data = os.path.join(self.folder, "data")
        conf = os.path.join(self.folder, "agent.conf")
        self.agent, self.fencer = (Daemon(
            world, "%s-%s" % (self.name, what), self.machine,
            [world.program("berth-" + what), "--config", conf])
            for what in ("agent", "fencer"))
        self.off = 0
        self.lock = threading.RLock()
        self.agent.before = self.configure

    def make(self):
        w = self.world
        self.machine.make()
        os.makedirs(self.data)
        w.issue(self.name, "crn/" + self.hash, self.machine.address)
        box.remember_cgroup(w.options.out,
                            box.cgroup_leaf(self.hash, self.data))
        self.configure()

    def configure(self):
        w = self.world
        door = "%s:%d" % (self.machine.address, DOOR)
        with open(os.path.join(self.folder, "agent.conf"), "w") as file:
            file.write("""
crn = "%s"; name = "%s"; cluster = "chaos"; directory = "%s";
pki = "%s/pki/%s"; replicas = [ %s ];
door = "%s"; url = "http://%s"; ccns = [ "http://%s:%d" ];
vcpus = 5; memory_mib = 8192; disk_mib = 20480; k_ms = %d;
watchdog = ""; runtime_default = "host"; dev_bind = "%s/witness";
""" % (self.hash, self.name, self.data, ROOM, self.name,
       ", ".join('"%s"' % r.address for r in w.members()),
       door, door, w.ccn.machine.address, CCN, w.profile[3], ROOM))

    def start(self):
        self.machine.power_on()
        self.fencer.start()
        self.agent.start()

    def power_off(self):
        with self.lock:
            self.off += 1
            self.agent.down += 1
            self.fencer.down += 1
            if self.off == 1:
                self.machine.power_off()

    def power_on(self):
        with self.lock:
            self.off -= 1
            if not self.off:
                self.start()  # before the supervisor may
            self.agent.down -= 1
            self.fencer.down -= 1

    def everything(self):
        """Every process of the machine, its first one excepted."""
        pids = []
        root = os.stat("/proc/%d/ns/pid" % self.machine.init).st_ino
        for name in filter(str.isdigit, os.listdir("/proc")):
            pid = int(name)
            if pid != self.machine.init and self.inside(pid, root):
                pids.append(pid)
        return pids

    def inside(self, pid, root):
        """Is it in the machine's namespace of ids, or in one below?"""
        while pid > 1:
            if pid == self.machine.init:
                return True
            try:
                if os.stat("/proc/%d/ns/pid" % pid).st_ino == root:
                    return True
                with open("/proc/%d/stat" % pid) as file:
                    pid = int(file.read().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError):
                return False
        return False


class Ccn:
    def __init__(self, world):
        self.name = "ccn"
        self.machine = box.Machine("ccn", "10.77.3.1")
        self.data = os.path.join(ROOM, "ccn")
        self.daemon = Daemon(world, "ccn", self.machine, [
            world.program("berth-ccn"), "--directory", self.data,
            "--listen", "%s:%d" % (self.machine.address, CCN)])

    def make(self):
        self.machine.make()
        os.makedirs(self.data)

    def ask(self, method, path, body=None, timeout=10):
        link = http.client.HTTPConnection(self.machine.address, CCN,
                                          timeout=timeout)
        try:
            link.request(method, path, body and json.dumps(body),
                         {"Content-Type": "application/json"})
            answer = link.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, ValueError, http.client.HTTPException):
            return 0, None
        finally:
            link.close()


class World:
    def __init__(self, options):
        self.options = options
        self.profile = PROFILES[options.profile]
        self.ttl_a, self.ttl_s, self.heartbeat, _ = self.profile
        self.apart = options.profile == "apart"
        self.berth_profile = "default" if self.apart else options.profile
        self.delay_more = 0
        self.stamp = "%d-%d" % (options.seed, box.now())
        self.logs = os.path.join(options.out, "logs")
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.ccn = Ccn(self)
        self.crns, self.replicas = [], {}
        self.replicas = {i: Replica(self, i)
                         for i in range(1, options.replicas + 1)}
        self.crns = [Crn(self, j) for j in range(1, options.crns + 1)]
        self.deaths = []  # (when, name, wait status, expected)
        self.ended = threading.Event()
        self.proxy = None
        self.founded = False

    def program(self, name):
        return os.path.join(self.options.build, name)

    def issue(self, name, uri, address):
        box.run(self.program("berth"), "pki", "issue", "--host", address,
                ROOM + "/pki/ca", ROOM + "/pki/" + name,
                "berth://chaos/" + uri)

    def up(self):
        box.make_hub()
        os.makedirs(ROOM + "/pki")
        os.mkdir(ROOM + "/witness")
        os.chmod(ROOM + "/witness", 0o1777)
        box.run(self.program("berth"), "pki", "init", "--cluster", "chaos",
                ROOM + "/pki/ca")
        self.issue("operator", "operator/chaos", box.HUB)
        self.proxy = subprocess.Popen(
            [sys.executable, os.path.join(box.HERE, "proxy.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
            stderr=open(os.path.join(self.logs, "proxy.log"), "w"))
        everybody = [self.ccn, *self.replicas.values(), *self.crns]
        for one in everybody:
            one.make()
            self.serve(one.machine)
        self.ccn.daemon.start()
        self.set_delay(0)
        for r in self.replicas.values():
            r.daemon.start()
        for c in self.crns:
            c.start()
        threading.Thread(target=self.supervise, daemon=True).start()
        self.wait_ready(60)
        self.founded = True
        self.list_coming()

    def list_coming(self):
        """Restarts replicas, one at a time, whose files do not name those
        that may join next; with all of them up, and a leader in between."""
        for r in self.members():
            if max(self.replicas) + 1 in r.listed:
                continue
            life, r.daemon.asked = r.daemon.lives, r.daemon.pid
            r.daemon.signal(signal.SIGTERM)
            until(30, r.name + " is back", lambda: r.daemon.lives > life and
                  r.ask("GET", "/health", timeout=2)[0] == 200)
            time.sleep(self.ttl_a)  # leases are renewed again
        self.wait_ready(60)

    def serve(self, machine):
        self.tell_proxy({"machine": machine.name, "netns": machine.netns})
        if self.proxy.stdout.readline().strip() != machine.name:
            raise Failed("the proxy does not serve " + machine.name)

    def tell_proxy(self, job):
        self.proxy.stdin.write(json.dumps(job) + "\n")
        self.proxy.stdin.flush()

    def set_delay(self, more):
        """Seconds each way between replicas, beside those of the profile."""
        self.delay_more = more
        seconds = more + (APART_S if self.apart else 0)
        addresses = {r.name: r.machine.address
                     for r in self.replicas.values()}
        self.tell_proxy({"delay": {
            a: {addresses[b]: seconds for b in addresses if b != a}
            for a in addresses}})

    def coming(self):
        """Ids of replicas that may join next; none before the first start
        of all, for a founding file names no joiners."""
        if not self.founded:
            return []
        top = max(self.replicas) + 1
        return [r.id for r in list(self.replicas.values())
                if not r.member and not r.machine.gone] + list(
                    range(top, top + 8 - len(self.members())))

    def new_replica(self):
        r = Replica(self, max(self.replicas) + 1)
        r.member = False
        r.make()
        self.serve(r.machine)
        self.replicas[r.id] = r
        self.set_delay(self.delay_more)
        return r

    # --- who runs ----

    def daemons(self):
        found = [self.ccn.daemon]
        found += [r.daemon for r in self.members()]
        for c in self.crns:
            found += [c.fencer, c.agent]
        return found

    def supervise(self):
        """Starts anew what died, as an operator's systemd would."""
        seen = {}
        while not self.ended.wait(0.2):
            for d in self.daemons():
                if d.pid is None or not box.dead(d.pid):
                    continue
                if seen.get(d.name, (0, 0))[0] != d.pid:
                    seen[d.name] = d.pid, time.monotonic()
                    self.deaths.append((box.now(), d.name, d.pid,
                                        d.down or d.asked == d.pid))
                elif d.down == 0 and time.monotonic() > seen[d.name][1] + .5:
                    try:
                        d.start()
                    except RuntimeError as why:
                        print("chaos: %s does not start: %s" % (d.name, why))

    # --- what is known ----

    def members(self):
        return [r for r in list(self.replicas.values()) if r.member]

    def leader(self):
        for r in self.members():
            status, _, body = r.ask("GET", "/health", timeout=1)
            if status == 200 and body.get("leader") in self.replicas:
                return self.replicas[body["leader"]]
        return None

    def established(self):
        for r in self.members():
            status, _, body = r.ask(
                "GET", "/admin/v1/crns?consistency=linearizable", timeout=3)
            if status == 200:
                return [c for c in body["crns"] if c["established"]]
        return []

    def wait_ready(self, seconds):
        until(seconds, "all CRNs established",
              lambda: len(self.established()) == len(self.crns), 0.2)
