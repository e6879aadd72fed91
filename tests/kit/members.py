"""Replicas that are wiped, restarted one by one, and join: for a Cluster."""
import os
import re
import shutil
import signal
import subprocess
import time

from cluster import Failed, until


def conf(c, i):
    return os.path.join(c.dir, "r%d/berthd.conf" % i)


def log(c, i):
    try:
        with open(os.path.join(c.dir, "r%d/log" % i), errors="replace") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def _started(pid):
    """Start time of a living process, as deploy/cluster's pid files have it;
    None: it is dead, perhaps not reaped."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            words = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if words[0] == "Z" else words[19]


def alive(c, i):
    pid = c.pid("r%d/pid" % i)
    return pid is not None and _started(pid) is not None


def start(c, i):
    """Starts berthd of replica i and gives its Popen."""
    folder = os.path.join(c.dir, "r%d" % i)
    with open(os.path.join(folder, "log"), "ab") as out:
        process = subprocess.Popen(
            [os.path.join(c.build, "berthd"), "--config", conf(c, i)],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True)
    with open(os.path.join(folder, "pid"), "w") as file:
        file.write("%d %s\n" % (process.pid, _started(process.pid) or 0))
    return process


def stop(c, i, number=signal.SIGTERM, seconds=20):
    c.signal("r%d/pid" % i, number)
    until(seconds, "replica %d stopped" % i, lambda: not alive(c, i))


def restart(c, i):
    """Stopped politely and started; until it follows or leads again."""
    stop(c, i)
    process = start(c, i)
    until(20, "replica %d is back" % i,
          lambda: c.get(i, "/health")[0] == 200)
    return process


def wipe(c, i):
    """What a new disk is: nothing. The replica must be dead."""
    if alive(c, i):
        raise Failed("replica %d is alive: not wiped" % i)
    shutil.rmtree(os.path.join(c.dir, "r%d/data" % i))


def list_joiner(c, i, files):
    """Names the joiner i in the `peers` of replicas' files."""
    row = ('  { id = %d; address = "127.0.0.1:%d"; http = "127.0.0.1:%d";'
           ' joins = true; },\n' % (i, c.port + 100 + i, c.port + 200 + i))
    for j in files:
        with open(conf(c, j)) as file:
            text = file.read()
        if row not in text:
            with open(conf(c, j), "w") as file:
                file.write(text.replace("peers = (\n", "peers = (\n" + row))


def make_joiner(c, i, like):
    """Files of replica i: certificate, and a configuration like another's."""
    with open(conf(c, like)) as file:
        text = file.read()
    name = re.search(r'cluster = "(.*?)"', text).group(1)
    os.makedirs(os.path.join(c.dir, "r%d/data" % i))
    for key, base in (("listen", 100), ("http", 200), ("admin_tls", 300)):
        text = re.sub(r'^%s = ".*"' % key, '%s = "127.0.0.1:%d"' % (
            key, c.port + base + i), text, flags=re.M)
    for key in ("directory", "pki"):
        text = re.sub(r'^(%s = ".*/)r%d(.*")' % (key, like),
                      r"\g<1>r%d\g<2>" % i, text, flags=re.M)
    text = re.sub(r"^id = .*", "id = %d;" % i, text, flags=re.M)
    text = text.replace("bootstrap = true;", "join = true;")
    with open(conf(c, i), "w") as file:
        file.write(text)
    subprocess.run([os.path.join(c.build, "berth"), "pki", "issue", "--host",
                    "127.0.0.1", os.path.join(c.dir, "pki/ca"),
                    os.path.join(c.dir, "pki/r%d" % i),
                    "berth://%s/replica/%d" % (name, i)], check=True,
                   stdout=subprocess.DEVNULL)


def change(c, replica, member, what, timeout=15):
    """POST /admin/v1/members: "ok" or the name of the refusal ("": silence),
    and the answer."""
    _, _, body = c.admin(replica, "POST", "/admin/v1/members",
                         {"id": member, "change": what}, timeout=timeout)
    body = body or {}
    return body.get("result") or body.get("error") or "", body


def change_until(c, replicas, member, what, done=(), seconds=20):
    """Asks until it is so; `done` names refusals that mean that it is."""
    end, number = time.monotonic() + seconds, 0
    while True:
        said, body = change(c, replicas[number % len(replicas)], member, what)
        if said == "ok" or said in done:
            return body
        if time.monotonic() > end:
            raise Failed("%s of %d: %s" % (what, member, body))
        number += 1
        time.sleep(0.1)


def roles(c, replica):
    _, _, body = c.admin(replica, "GET", "/admin/v1/replicas")
    return {row["id"]: row["role"] for row in (body or {})
            .get("replicas", [])}
