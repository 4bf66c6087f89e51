# The incident itself, which Node cannot have: fork() without exec in a process with 22 busy threads. A child inherits
# every lock as it was at that moment, and the thread that held it is not there. A child that hangs is ended by its alarm.
import json, os, random, signal, sys, threading, time

FORKS = int(sys.argv[1])
sys.setswitchinterval(0.0002)  # by default a thread keeps the interpreter for 5 ms: 22 of them would hold each fork up for 0.1 s
locks = [threading.Lock() for _ in range(22)]


def busy(lock):
    while True:
        with lock:
            sum(range(2000))
        sum(range(38000))


for lock in locks:
    threading.Thread(target=busy, args=(lock,), daemon=True).start()
children = []
for _ in range(FORKS):
    time.sleep(0.001)
    pid = os.fork()
    if pid == 0:
        signal.setitimer(signal.ITIMER_REAL, 3)
        random.choice(locks).acquire()
        os._exit(0)
    children.append(pid)
ends = [os.waitpid(pid, 0)[1] for pid in children]
hung = sum(os.WIFSIGNALED(end) and os.WTERMSIG(end) == signal.SIGALRM for end in ends)
print(json.dumps({"forks": FORKS, "hung": hung}), flush=True)
os._exit(0)
