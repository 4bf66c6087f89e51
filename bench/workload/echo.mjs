// The same job for all contenders: gives back what it gets. By messages where it was forked or is a worker thread.
import { isMainThread, parentPort } from 'node:worker_threads';

export default (payload) => payload;

if (!isMainThread) parentPort.once('message', (payload) => parentPort.postMessage(payload));
else if (process.send) {
  process.once('message', ({ payload }) => process.send({ payload }, () => process.disconnect()));
}
