/**
 * A preload: `node --import procgroup/register app.js`, or `NODE_OPTIONS='--import procgroup/register'`. It puts the engine
 * under everything in the process that starts children by node:child_process, CommonJS and ES modules alike, Node's own
 * cluster too. What this does to the process: the functions spawn, exec, execFile and fork of node:child_process are replaced,
 * and the name of this preload becomes absolute in process.execArgv and NODE_OPTIONS, so that children find it from wherever
 * they are started (on Node 20 `--import` becomes `--require` in process.execArgv: cluster workers would lose messages).
 */
import node from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';
import { adoptEverything, functions } from './child-process/functions.js';
import { absoluteExecArgv, absoluteNodeOptions } from './child-process/preload-path.js';

const here = import.meta.url;
absoluteExecArgv(process.execArgv, here);
const options = process.env.NODE_OPTIONS;
if (options) process.env.NODE_OPTIONS = absoluteNodeOptions(options, here);
adoptEverything(here);
Object.assign(node, functions);
syncBuiltinESMExports();
