import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Scenario } from './scenario.js';

/** A status, or 'never': the request is taken and not answered. */
export type Answer = number | 'never';

export interface LeaseServer {
  url: string;
  /** What is answered when the list is used up. */
  answer: Answer;
  /** Answers to the next requests, first come first. */
  next: Answer[];
  /** Requests until now. */
  requests: number;
  /** Answers those that were not. */
  release(status: number): void;
}

/** Where a lease is kept: a real HTTP server on loopback. It goes with the test. */
export async function leaseServer(scenario: Scenario): Promise<LeaseServer> {
  const held = new Set<ServerResponse>();
  const server = createServer((_, response) => {
    state.requests++;
    const answer = state.next.shift() ?? state.answer;
    if (answer === 'never') held.add(response);
    else response.writeHead(answer).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/lease`;
  const release = (status: number) => {
    for (const response of held) response.writeHead(status).end('{}');
    held.clear();
  };
  const state: LeaseServer = { url, answer: 200, next: [], requests: 0, release };
  scenario.defer(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return state;
}
