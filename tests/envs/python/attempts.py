"""Attempts to get out of a session: name, and code that prints ESCAPED where it succeeds and `refused` where not.

`refused(f, *arguments)` calls and reports; `denied(result)` looks at what a C function returned.
"""

PRELUDE = """
import ctypes, errno, io, mmap, os, pathlib, resource, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def refused(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except (OSError, RuntimeError) as error:
        error = getattr(error, "reason", error)
        if isinstance(error, OSError) and error.errno not in (errno.EPERM, errno.EACCES):
            print("ODD", function, error)
        print("refused")
    else:
        print("ESCAPED", function, arguments)

def denied(result):
    print("refused" if result == -1 and ctypes.get_errno() in (errno.EPERM, errno.EACCES) else "ESCAPED")
"""

FILES = {
    "open": "refused(open, '/etc/passwd')",
    "open in binary": "refused(open, '/etc/shadow', 'rb')",
    "descriptor": "refused(os.open, '/etc/passwd', os.O_RDONLY)",
    "path only, then reopen": "f = os.open('/etc/passwd', os.O_PATH); refused(os.open, f'/proc/self/fd/{f}', 0)",
    "pathlib": "refused(pathlib.Path('/etc/hostname').read_text)",
    "FileIO": "refused(io.FileIO, '/etc/passwd')",
    "libc open": "denied(libc.open(b'/etc/passwd', 0))",
    "libc fopen": "denied(-1 if not libc.fopen(b'/etc/passwd', b'r') else 0)",
    "numpy": "import numpy; refused(numpy.fromfile, '/etc/passwd')",
    "numpy memory map": "import numpy; refused(numpy.memmap, '/etc/passwd')",
    "import machinery": (
        "import importlib.machinery as m; refused(m.SourceFileLoader('x', '{secret}').get_data, '{secret}')"
    ),
    "the trainer's file": "refused(open, '{secret}')",
    "the project": "refused(open, '{project}')",
    "another package": "refused(open, '{package}')",
    "listing": "refused(os.listdir, '/'); refused(os.scandir, '/home'); refused(os.listdir, '.')",
    "walking up from the library": (
        "f = os.open(os.path.dirname(os.__file__), os.O_RDONLY)\n"
        "refused(os.open, '../' * 20 + 'etc/passwd', os.O_RDONLY, dir_fd=f)"
    ),
    "the root through proc": "refused(open, '/proc/self/root/etc/passwd'); refused(open, '/proc/self/cwd/etc/passwd')",
    "own environment": "refused(open, '/proc/self/environ'); assert not os.environ and os.getenv('PATH') is None",
    "own memory map": "refused(open, '/proc/self/maps'); refused(open, '/proc/self/mem', 'rb')",
    "the launcher's memory": "refused(open, f'/proc/{os.getppid()}/mem', 'rb')",
    "the trainer's memory": "refused(open, '/proc/{trainer}/mem', 'rb'); refused(open, '/proc/{trainer}/environ')",
    "the trainer's descriptors": "refused(os.listdir, '/proc/{trainer}/fd')",
    "the trainer's program": "refused(os.readlink, '/proc/{trainer}/exe'); refused(os.readlink, '/proc/{trainer}/cwd')",
    "devices": "refused(open, '/dev/zero', 'rb'); refused(open, '/dev/null', 'w'); refused(open, '/dev/urandom', 'rb')",
    "sqlite": (
        "import sqlite3\n"
        "try: sqlite3.connect('/tmp/x.db').execute('create table t (x)'); print('ESCAPED')\n"
        "except sqlite3.OperationalError: print('refused')"
    ),
    "file handles": "denied(libc.open_by_handle_at(-100, ctypes.create_string_buffer(64), 0))",
    "write": "refused(open, '/tmp/x', 'w'); refused(open, 'x', 'w'); refused(open, '/var/tmp/x', 'a')",
    "write shared memory": "refused(open, '/dev/shm/x', 'w')",
    "write into the library": "refused(open, os.path.join(os.path.dirname(os.__file__), 'os.py'), 'a')",
    "overwrite": "refused(open, '{secret}', 'w'); refused(os.truncate, '{secret}', 0)",
    "temporary file": "import tempfile; refused(tempfile.TemporaryFile, dir='/tmp')",
    "folder": "refused(os.mkdir, '/tmp/x'); refused(os.rmdir, '/tmp')",
    "symbolic link": "refused(os.symlink, '/etc/passwd', '/tmp/x')",
    "hard link": "refused(os.link, '{secret}', '/tmp/x')",
    "remove and rename": "refused(os.unlink, '{secret}'); refused(os.rename, '{secret}', '/tmp/x')",
    "change of mode": "refused(os.chmod, '{secret}', 0o777); refused(os.chown, '{secret}', 0, 0)",
    "change of times": "refused(os.utime, '{secret}'); refused(os.setxattr, '{secret}', 'user.x', b'1')",
    "named pipe": "refused(os.mkfifo, '/tmp/x'); refused(os.mknod, '/tmp/x')",
    "change of root": "refused(os.chroot, '/tmp')",
}
"""Files: nothing outside the interpreter is read, and nothing at all is written."""

NETWORK = {
    "internet": "refused(socket.socket, socket.AF_INET, socket.SOCK_STREAM)",
    "internet, version 6, datagrams": "refused(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)",
    "local socket": "refused(socket.socket, socket.AF_UNIX, socket.SOCK_STREAM)",
    "netlink": "refused(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW)",
    "packets": "refused(socket.socket, socket.AF_PACKET, socket.SOCK_RAW)",
    "pair": "refused(socket.socketpair)",
    "libc socket": "denied(libc.socket(2, 1, 0))",
    "a page": "import urllib.request; refused(urllib.request.urlopen, 'http://127.0.0.1:1/')",
    "connecting the channel elsewhere": "denied(libc.connect(3, b'\\2\\0\\0\\x50\\x7f\\0\\0\\1' + bytes(8), 16))",
    "sending a descriptor": "refused(socket.send_fds, socket.socket(1, 5, 0, fileno=os.dup(3)), [b'x'], [0])",
    "io_uring": "denied(libc.syscall(425, 8, ctypes.create_string_buffer(120)))",
}
"""The network, and what could reach it without `socket`."""

PROCESSES = {
    "fork": "refused(os.fork)",
    "fork bomb": "for _ in range(200): refused(os.fork)",
    "libc fork": "denied(libc.fork())",
    "vfork": "denied(libc.vfork())",
    "clone3": "print('refused' if libc.syscall(435, bytes(88), 88) == -1 else 'ESCAPED')",
    "thread": "refused(threading.Thread(target=print).start)",
    "thread bomb": "for _ in range(200): refused(threading.Thread(target=time.sleep, args=(9,)).start)",
    "program": "refused(subprocess.run, ['/bin/true'])",
    "shell": "print('refused' if os.system('touch /tmp/x') != 0 else 'ESCAPED')",
    "spawn": "refused(os.posix_spawn, '/bin/true', ['true'], dict())",
    "replacing itself": "refused(os.execv, '/bin/sh', ['sh']); refused(os.execv, sys.executable, ['python'])",
    "a program from memory": "refused(os.memfd_create, 'x')",
    "multiprocessing": (
        "import multiprocessing\nrefused(lambda: multiprocessing.get_context('fork').Process(target=print).start())"
    ),
    "daemon": "refused(os.setsid); refused(os.setpgid, 0, 0)",
    "kill the launcher": "refused(os.kill, os.getppid(), signal.SIGKILL)",
    "kill the trainer": "refused(os.kill, {trainer}, signal.SIGKILL)",
    "kill everybody": "refused(os.kill, -1, signal.SIGKILL); refused(os.killpg, os.getpgid(0), signal.SIGKILL)",
    "kill another session": "refused(os.kill, {other}, signal.SIGKILL)",
    "signal by descriptor": "denied(libc.syscall(434, {trainer}, 0))",
    "signal by ownership of a file": "import fcntl; refused(fcntl.fcntl, 3, fcntl.F_SETOWN, {trainer})",
    "trace the launcher": "denied(libc.ptrace(16, os.getppid(), 0, 0))",
    "be traced": "denied(libc.ptrace(0, 0, 0, 0))",
    "read the trainer's memory": "denied(libc.process_vm_readv({trainer}, bytes(16), 1, bytes(16), 1, 0))",
    "write another's memory": "denied(libc.process_vm_writev({other}, bytes(16), 1, bytes(16), 1, 0))",
    "take the trainer's descriptor": "denied(libc.syscall(438, 0, 0, 0))",
    "the trainer's limits": "refused(resource.prlimit, {trainer}, resource.RLIMIT_NOFILE, (1, 1))",
    "own limits": (
        "r = resource.RLIMIT_AS\n"
        "try: resource.setrlimit(r, (-1, -1)); print('ESCAPED')\n"
        "except ValueError: print('refused')\n"
        "denied(libc.setrlimit(9, bytes(16)))"
    ),
    "the trainer's priority": "refused(os.setpriority, os.PRIO_PROCESS, {trainer}, 19)",
    "the trainer's processors": "refused(os.sched_setaffinity, {trainer}, [0])",
    "shared memory": "refused(mmap.mmap, -1, 4096); denied(libc.shmget(0, 4096, 0o1777))",
    "message queue": "denied(libc.msgget(0, 0o1777)); denied(libc.mq_open(b'/x', 0o102, 0o777, None))",
    "pipe": "refused(os.pipe); refused(os.eventfd, 0)",
}
"""Processes, and what they could share."""

PRIVILEGES = {
    "user": "refused(os.setresuid, 0, 0, 0) if os.getuid() else denied(libc.setresuid(0, 0, 0))",
    "group": "refused(os.setgroups, [0])",
    "namespaces": "denied(libc.unshare(0x10000000)); denied(libc.setns(0, 0))",
    "mount": "denied(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)); denied(libc.umount2(b'/', 2))",
    "mount by descriptor": "denied(libc.syscall(428, -100, b'/', 0)); denied(libc.syscall(430, b'tmpfs', 0))",
    "undoing": "denied(libc.prctl(22, 0, 0, 0, 0)); denied(libc.prctl(4, 1)); denied(libc.syscall(446, 0, 0))",
    "keys": "denied(libc.personality(0x40000)); denied(libc.swapoff(b'/x')); denied(libc.reboot(0))",
    "clock": "refused(time.clock_settime, time.CLOCK_REALTIME, 0)",
    "host name": "refused(socket.sethostname, 'x')",
    "kernel log": "denied(libc.klogctl(3, ctypes.create_string_buffer(64), 64))",
}
"""Rights that a session does not have and cannot get."""
