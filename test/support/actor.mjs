// Supervisors: programs that use procgroup and are themselves the subject of a test. Usage: node actor.mjs VERB [ARGS].
// Each prints `ready {json}` once it is in the state it names. `--verbs` lists them; an unused one fails a test.
import './environment.mjs';
import { spawn } from '../../dist/index.js';
import { supervise } from '../../dist/supervise.js';
import { member } from './paths.mjs';
import { readReady } from './ready.mjs';

const [verb, ...args] = process.argv.slice(2);
const options = { stdio: ['ignore', 'pipe', 'inherit'] };

function ready(fields) {
  process.stdout.write(`ready ${JSON.stringify({ verb, pid: process.pid, ...fields })}\n`);
}

async function start(memberArgs = args, more = {}) {
  const group = await spawn(member, memberArgs, { ...options, ...more });
  const said = await readReady(group.stdout);
  return { group, said };
}

const verbs = {
  /**
   * MEMBER ARGS...: calls stop() at each SIGTERM, passes the member's output on, and prints at the end how many distinct
   * reports came of it.
   */
  async 'stop-on-sigterm'() {
    const { group, said } = await start(args, { teardown: [{ signal: 'SIGTERM', graceMs: 1_000 }] });
    const stops = [];
    process.on('SIGTERM', () => {
      stops.push(group.stop());
      process.stdout.write(`stop ${stops.length}\n`);
    });
    group.stdout.pipe(process.stdout);
    ready({ group: group.pid, members: said.members });
    const report = await group.gone;
    await group.closed;
    const reports = new Set(await Promise.all(stops));
    process.stdout.write(`${JSON.stringify({ stops: stops.length, reports: reports.size, report })}\n`);
  },

  /**
   * OPTIONS MEMBER ARGS...: supervises a member with options in JSON, passes its lines on, and prints the outcome, and which
   * signals have a handler then. `run N` is printed once the member of run N is ready.
   */
  async supervise() {
    const [given, ...memberArgs] = args;
    const handled = () => ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'].filter((name) => process.listenerCount(name) > 0);
    const task = supervise(member, memberArgs, {
      teardown: [{ signal: 'SIGTERM', graceMs: 2_000 }],
      onLine: (line) => process.stdout.write(`${line.replace(/^ready /, 'run ')}\n`),
      ready: { line: /^ready / },
      ...JSON.parse(given),
    });
    await task.ready;
    ready({ group: task.group?.pid, members: [], handled: handled() });
    const outcome = await task.outcome;
    process.stdout.write(`outcome ${JSON.stringify({ handled: handled(), outcome })}\n`);
  },
};

if (verb === '--verbs') process.stdout.write(`${Object.keys(verbs).join('\n')}\n`);
else if (verb !== undefined && Object.hasOwn(verbs, verb)) await verbs[verb]();
else {
  process.stderr.write(`actor: no such verb: ${verb}\n`);
  process.exit(122);
}
