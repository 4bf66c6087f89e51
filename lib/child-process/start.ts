import { nativeCgroup } from '../cgroup.js';
import type { ProcessGroupError } from '../errors.js';
import { guardianFailed } from '../guardian-path.js';
import { binding, type Engine, engine, errorName, packed, stageName } from '../native.js';
import type { HandleRequest } from './node-shape.js';
import type { HandlePlan } from './plan.js';
import { absoluteNodeOptions } from './preload-path.js';

const EMFILE = -24;
const ENFILE = -23;
const EINVAL = -22;

let preload: string | undefined;

/** A preload that children are to load too, wherever they are started. */
export function namePreload(url: string): void {
  preload = url;
}

function withPreload(pairs: unknown[] | undefined): unknown[] | undefined {
  const url = preload;
  if (url === undefined || pairs === undefined) return pairs;
  const name = 'NODE_OPTIONS=';
  return pairs.map((pair) =>
    typeof pair === 'string' && pair.startsWith(name) ? name + absoluteNodeOptions(pair.slice(name.length), url) : pair,
  );
}

/** As Node's C++: any value becomes a string, which ends at a NUL. */
function words(list: readonly unknown[], cut: boolean): string[] {
  return list.map((value) => {
    const text = typeof value === 'string' ? value : `${value}`;
    const end = cut ? text.indexOf('\0') : -1;
    return end < 0 ? text : text.slice(0, end);
  });
}

function join(list: readonly unknown[] | undefined): string {
  if (list === undefined) return '';
  return (list.every((value) => typeof value === 'string') ? list : words(list, false)).join('\0');
}

function cut(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

export interface Started {
  /** 0, or a negative errno: then the streams are open all the same, as libuv has it. */
  error: number;
  /** Where it failed; native/core/result.h. */
  stage: number;
  id: number;
  pid: number;
}

/** Starts the child, and opens its streams. */
export function startNow(ticket: number, request: HandleRequest, plan: HandlePlan): Started {
  let native: Engine;
  try {
    native = engine();
  } catch (error) {
    const { errno } = error as ProcessGroupError;
    if (errno === undefined) throw error;
    return { error: errno, stage: 0, id: 0, pid: 0 }; // no descriptor or thread for it: as a fork that is refused
  }
  refuseUnopenable(request);
  const { uid, gid } = request;
  const args = Array.isArray(request.args) ? request.args : [];
  const pairs = withPreload(Array.isArray(request.envPairs) ? request.envPairs : undefined);
  const call = (argv: string, env: string | null) =>
    native.spawnNow(
      ticket,
      cut(request.file),
      argv,
      env,
      request.cwd ? cut(request.cwd) : null,
      null,
      plan.killer,
      packed(plan.numbers),
      plan.guardian,
      plan.cgroup && nativeCgroup(plan.cgroup),
      args.length,
      pairs?.length ?? -1,
      uid ?? null,
      gid ?? null,
    );
  const tree = plan.guardian !== null;
  const answer =
    (tree ? null : call(join(args), pairs === undefined ? null : join(pairs))) ??
    call(words(args, true).join('\0'), pairs === undefined ? null : words(pairs, true).join('\0'));
  if (answer === null) return { error: EINVAL, stage: 0, id: 0, pid: 0 };
  const [error, id, pid, , stage, fds] = answer;
  if (error < 0 && stageName(stage) === 'guardian') guardianFailed(plan.guardian, errorName(error));
  if (error !== EMFILE && error !== ENFILE) openStreams(request, fds);
  return { error, stage, id, pid };
}

/** Node's permission model may refuse to open pipes. It says so to any descriptor, and none is open at -1: EBADF otherwise. */
function refuseUnopenable({ stdio }: HandleRequest): void {
  if ((process as { permission?: unknown }).permission === undefined) return;
  for (const entry of stdio) entry?.handle?.open(-1);
}

function openStreams({ stdio }: HandleRequest, fds: readonly number[]): void {
  fds.forEach((fd, i) => {
    if (fd < 0) return;
    const refused = stdio[i]?.handle?.open(fd);
    if (refused) binding().closeFd(fd);
  });
}
