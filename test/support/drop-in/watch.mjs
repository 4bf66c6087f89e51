// What can be seen of a child and of an error, in a form that two runs can be compared by.

/** An error without its stack. */
export function errorOf(error) {
  if (!(error instanceof Error)) return error;
  const { name, code, message, errno, syscall, path, spawnargs, cmd, killed, signal, stdout, stderr, cause } = error;
  const fields = { name, code, message, errno, syscall, path, spawnargs, cmd, killed, signal, stdout, stderr };
  return { ...fields, ...(cause === undefined ? {} : { cause: errorOf(cause) }) };
}

const plain = (value) => (value instanceof Error ? errorOf(value) : Buffer.isBuffer(value) ? `buffer ${value}` : value);
const CHILD = ['spawn', 'exit', 'close', 'error', 'disconnect', 'message'];

function watchStream(stream) {
  const seen = { events: [], data: '' };
  const closed = new Promise((resolve) => stream.on('close', resolve));
  Object.defineProperty(seen, 'closed', { value: closed }); // not to be compared
  stream.on('data', (chunk) => {
    if (seen.data === '') seen.events.push('data');
    seen.data += chunk;
  });
  for (const event of ['end', 'close', 'finish']) stream.on(event, (...args) => seen.events.push([event, ...args]));
  stream.on('error', (error) => seen.events.push(['error', errorOf(error)]));
  return seen;
}

export function stateOf(child) {
  const { exitCode, signalCode, killed, spawnfile, spawnargs, connected } = child;
  return {
    pid: typeof child.pid,
    exitCode,
    signalCode,
    killed,
    spawnfile,
    spawnargs,
    connected,
    stdio: child.stdio?.map((stream) => stream && `${stream.constructor.name} ${stream.readable} ${stream.writable}`),
    keys: Object.keys(child).sort(),
  };
}

/**
 * Follows a child until 'close', or until the event named. Gives its state at first, its events in their order with their
 * arguments, what each stream gave, and its state at the end. `read: false` leaves the output alone.
 */
export function watch(child, { until = 'close', read = true, after } = {}) {
  const first = stateOf(child);
  const events = [];
  const streams = read ? (child.stdio ?? []).map((stream, i) => (stream && i > 0 ? watchStream(stream) : null)) : [];
  // Since Node 22 a write to a child that does not read fails the socket: no child here is asked to read all.
  child.stdin?.on('error', () => {});
  return new Promise((resolve) => {
    for (const event of CHILD) {
      child.on(event, (...args) => {
        if (until !== 'close' && event === 'close') return; // it may come or not
        events.push([event, ...args.map(plain)]);
        if (event === until) setImmediate(finish);
      });
    }
    const finish = async () => {
      if (read) await Promise.all(streams.map((seen) => seen?.closed));
      const more = await after?.();
      const last = stateOf(child);
      if (!read) delete last.stdio;
      resolve({ first, events, streams, last, ...(more === undefined ? {} : { more }) });
    };
  });
}
