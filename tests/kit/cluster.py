"""A one-machine cluster for tests, looked at from outside only.

Every check polls until a deadline; nothing sleeps a fixed time where a
condition can be seen.
"""
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
TUTORIAL = os.path.join(ROOT, "tests/data/programs/tutorial")


class Failed(Exception):
    pass


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


def until(seconds, what, condition, every=0.05):
    """Polls; gives the first true value, or fails with what was awaited."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed("%s: not seen in %g s" % (what, seconds))
        time.sleep(every)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("berth", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Cluster:
    def __init__(self, build, replicas=3, crns=4, profile="fast", port=None):
        self.build = os.path.abspath(build)
        self.replicas, self.crns = replicas, crns
        self.profile = profile
        self.port = port or free_base(replicas, crns)
        self.dir = tempfile.mkdtemp(prefix="berth-test-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.env = dict(os.environ, BERTH_BUILD=self.build)
        for name in list(self.env):
            if name.startswith("BERTH_") and name != "BERTH_BUILD":
                del self.env[name]

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, kind, error, trace):
        if kind:
            self.tell_logs()
        for name in self.pid_files():
            self.signal(name, signal.SIGCONT)
        self.deploy("down", "--wipe", check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def deploy(self, *words, check=True):
        done = subprocess.run(
            [os.path.join(ROOT, "deploy/cluster"), *words, "--dir", self.dir],
            env=self.env, capture_output=True, text=True, timeout=120)
        if check and done.returncode:
            raise Failed("deploy/cluster %s: %s%s" % (
                words[0], done.stdout[-600:], done.stderr[-1500:]))
        return done

    def up(self):
        try:
            return self.deploy("up", "--replicas", str(self.replicas),
                               "--crns", str(self.crns), "--base-port",
                               str(self.port), "--profile", self.profile)
        except BaseException:
            self.tell_logs()
            self.deploy("down", "--wipe", check=False)
            raise

    def tell_logs(self):
        for folder, _, files in os.walk(self.dir):
            for name in files:
                if name == "log" or name.endswith(".log"):
                    path = os.path.join(folder, name)
                    with open(path, errors="replace") as file:
                        lines = file.read().splitlines()[-15:]
                    if lines:
                        print("--- " + path)
                        print("\n".join(line[:300] for line in lines))

    # --- processes ---------------------------------------------------------

    def pid_files(self):
        names = ["ccn/pid"]
        names += ["r%d/pid" % i for i in self.each_replica()]
        for j in self.each_crn():
            names += ["crn%d/agent.pid" % j, "crn%d/fencer.pid" % j]
        return names

    def each_replica(self):
        return range(1, self.replicas + 1)

    def each_crn(self):
        return range(1, self.crns + 1)

    def pid(self, name):
        try:
            with open(os.path.join(self.dir, name)) as file:
                return int(file.read().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def signal(self, name, number):
        pid = self.pid(name)
        if pid:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    # --- asking ------------------------------------------------------------

    def http(self, method, url, body=None, headers=None, timeout=5):
        """status, headers, body bytes; status 0 if nobody answers."""
        host, _, path = url.split("//", 1)[1].partition("/")
        connection = http.client.HTTPConnection(host, timeout=timeout)
        return self._ask(connection, method, "/" + path, body, headers)

    def admin(self, replica, method, path, body=None, headers=None,
              timeout=10):
        connection = UnixConnection(os.path.join(
            self.dir, "r%d/data/admin.sock" % replica), timeout)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        status, heads, data = self._ask(connection, method, path, body,
                                        headers)
        try:
            return status, heads, json.loads(data or b"null")
        except ValueError:
            return status, heads, data

    @staticmethod
    def _ask(connection, method, path, body, headers):
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except (OSError, http.client.HTTPException):
            return 0, {}, b""
        finally:
            connection.close()

    def url(self, replica):
        return "http://127.0.0.1:%d" % (self.port + 200 + replica)

    def get(self, replica, path, timeout=5):
        status, _, data = self.http("GET", self.url(replica) + path,
                                    timeout=timeout)
        try:
            return status, json.loads(data or b"null")
        except ValueError:
            return status, data

    def leader(self):
        for i in self.each_replica():
            status, body = self.get(i, "/health")
            if status == 200 and body.get("leader"):
                return body["leader"]
        return None

    def allocation(self, replica, program):
        """The CRN hash that this replica names, or None."""
        status, body = self.get(replica, "/api/v0/allocation/" + program)
        return body["node"]["node_id"] if status == 200 else None

    def crn_number(self, crn):
        for j in self.each_crn():
            with open(os.path.join(self.dir, "crn%d/agent.conf" % j)) as file:
                if '"%s"' % crn in file.read():
                    return j
        return None

    def berth(self, *words, check=True, timeout=60):
        done = subprocess.run([os.path.join(self.build, "berth"), *words,
                               "--dir", self.dir], env=self.env,
                              capture_output=True, text=True,
                              timeout=timeout)
        if check and done.returncode:
            raise Failed("berth %s: exit %d: %s" % (
                " ".join(words), done.returncode, done.stderr.strip()))
        return done

    # --- programs ----------------------------------------------------------

    def witness(self, name):
        return os.path.join(self.dir, "witness", name)

    def upload(self, name, *more, path=TUTORIAL, entrypoint="main:app"):
        done = self.berth("program", "upload", "--persistent", "--updatable",
                          "--name", name, "--env",
                          "WITNESS=" + self.witness(name), *more, path,
                          entrypoint)
        return done.stdout.split()[-1]

    def where(self, program):
        done = self.berth("program", "where", program, "-o", "json",
                          check=False)
        return json.loads(done.stdout) if done.stdout else {}

    def wait_running(self, program, seconds=30):
        def look():
            row = self.where(program)
            return row if row.get("state") == "running" else None
        return until(seconds, "program %s running" % program[:12], look, 0.2)

    def answer(self, replica, program, timeout=3):
        """What the program says through any replica's redirect."""
        status, heads, _ = self.http(
            "GET", "%s/vm/%s/" % (self.url(replica), program))
        heads = {k.lower(): v for k, v in heads.items()}
        if status != 307:
            return None
        status, _, data = self.http("GET", heads["location"],
                                    timeout=timeout)
        try:
            return json.loads(data) if status == 200 else None
        except ValueError:
            return None

    def locked(self, name):
        """Does the program hold its witness file's lock?"""
        try:
            with open(self.witness(name)) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False

    def no_overlap(self):
        """No copy of any program was ever refused its lock."""
        folder = os.path.join(self.dir, "witness")
        for name in os.listdir(folder):
            if name.endswith(".refused"):
                with open(os.path.join(folder, name)) as file:
                    raise Failed("two copies ran at once: %s: %s" % (
                        name, file.read()))


def free_base(replicas, crns):
    """A base port of which none that the cluster needs is taken."""
    for base in range(20000 + os.getpid() % 40 * 500, 60000, 500):
        wanted = [24] + [h + i for h in (100, 200, 300)
                         for i in range(1, replicas + 1)]
        wanted += [400 + j for j in range(1, crns + 1)]
        if all(port_free(base + p) for p in wanted):
            return base
    raise Failed("no free ports")


def port_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def main(tests):
    """Runs named functions with the build folder; exit 1 at the first that
    fails."""
    build = sys.argv[1] if len(sys.argv) > 1 else os.environ["BERTH_BUILD"]
    sys.stdout.reconfigure(line_buffering=True)
    if os.geteuid() != 0:
        skip("CRNs are fenced only with root's rights")
    try:
        tests(build)
    except Failed as why:
        print("FAILED: %s" % why)
        sys.exit(1)
