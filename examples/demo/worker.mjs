process.on('SIGTERM', () => {});
setInterval(() => {}, 3_600_000);
console.log('ready');
