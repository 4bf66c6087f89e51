// A worker_thread of an actor: spawns what it is told to.
import { parentPort, workerData } from 'node:worker_threads';
import { lanes } from './lanes.mjs';

const engine = (await import(`./engines/${workerData.name}.mjs`)).make(JSON.parse(workerData.options));
parentPort.on('message', async ({ program, count, inFlight }) => {
  try {
    await lanes(count, inFlight, () => engine.run(program, []));
    parentPort.postMessage(null);
  } catch (error) {
    parentPort.postMessage(String(error));
  }
});
parentPort.postMessage('ready');
