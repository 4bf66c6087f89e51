// SIGHUP too: when the shell has gone, the kernel sends it to a group with a stopped member that nobody would continue.
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => {});
setInterval(() => {}, 3_600_000);
console.log('ready');
