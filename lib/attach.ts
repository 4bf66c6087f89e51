import { type AdoptMessage, channels, Trace } from './diagnostics.js';
import { openHandleTicket } from './handle-ticket.js';
import { onlyKnown, TEARDOWN_NAMES } from './known-options.js';
import { dropTicket, engine, errorName, packed, probe, systemError } from './native.js';
import { planTeardown, type TeardownPlan } from './options.js';
import { refusePgid } from './posix.js';
import { ProcessGroup } from './process-group.js';
import { pinName } from './spawn.js';
import type { TeardownOptions } from './types.js';
import { integer, record } from './validate.js';

/**
 * The same teardown for a group that somebody else started. Its leader's pidfd pins it where the leader lives (Linux 6.9);
 * else every member is signalled through a pidfd of its own. Its end leaves it alone when this process ends: only stop(),
 * kill() and dispose tear it down.
 *
 * Rejects with ERR_PGID_ZERO, ERR_PGID_INIT, ERR_OWN_GROUP, ERR_OUT_OF_RANGE or ERR_INVALID_ARG_TYPE for a number that may
 * not be signalled, with ESRCH where no such group is, and with EMFILE where no descriptor is left to pin it with.
 */
export async function attach(pgid: number, options: TeardownOptions = {}): Promise<ProcessGroup> {
  integer('pgid', pgid, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  refusePgid(pgid);
  const given: TeardownOptions = record('options', options);
  onlyKnown('options', given, TEARDOWN_NAMES);
  const teardown = planTeardown(given);
  if (!channels.adopt.hasSubscribers) return adopt(pgid, teardown);
  const trace = new Trace<AdoptMessage>(channels.adopt, { pgid });
  const group = trace.run(() => adopt(pgid, teardown));
  trace.succeed(group);
  return group;
}

function adopt(pgid: number, teardown: TeardownPlan): ProcessGroup {
  const native = engine();
  let group: ProcessGroup | undefined;
  const ticket = openHandleTicket((type, row) => {
    group?.receive(type, row);
    return group;
  });
  const answer = native.attach(ticket, pgid, teardown.killer, packed(teardown.numbers));
  if (typeof answer === 'number') {
    dropTicket(ticket);
    const full = ['EMFILE', 'ENFILE'].includes(errorName(answer));
    const syscall = !full ? 'kill' : probe()[0] ? 'pidfd_open' : 'openat';
    throw systemError(answer, syscall, 'attach', `process group ${pgid}`);
  }
  const [id, sid, pin, leaderExited] = answer;
  group = new ProcessGroup(
    {
      id,
      pid: pgid,
      innerPid: null,
      pgid,
      sid,
      mechanism: Object.freeze({
        isolation: 'group',
        containment: 'group',
        spawn: 'attach',
        exitNotice: probe()[0] ? 'pidfd' : 'waitid',
        groupSignal: pinName(pin),
        parentDeathSignal: 'none',
        guardianPid: null,
        cgroupPath: null,
        namespaces: [],
      }),
      streams: null,
      entries: 0,
      releasable: true,
      attached: true,
    },
    ticket,
  );
  if (leaderExited) group.leaderWasGone();
  return group;
}
