/**
 * Reads the `ready {json}` line of a member or an actor from a stream, and gives the JSON. What came after the line is put
 * back, and the stream is left paused. Rejects where the stream ends first.
 */
export function readReady(stream) {
  return new Promise((resolve, reject) => {
    let text = '';
    const settle = (error, value, rest) => {
      stream.off('data', onData).off('end', onEnd).off('error', onEnd).off('close', onEnd);
      if (!stream.destroyed) stream.pause();
      if (rest) stream.unshift(Buffer.from(rest, 'latin1'));
      if (error) reject(error);
      else resolve(value);
    };
    const onData = (chunk) => {
      text += chunk.toString('latin1');
      const at = text.startsWith('ready ') ? 0 : text.indexOf('\nready ') + 1;
      if (at === 0 && !text.startsWith('ready ')) return;
      const end = text.indexOf('\n', at);
      if (end >= 0) settle(null, JSON.parse(text.slice(at + 6, end)), text.slice(end + 1));
    };
    const onEnd = (error) => settle(error ?? new Error(`no ready line, but: ${JSON.stringify(text)}`));
    stream.on('data', onData).on('end', onEnd).on('error', onEnd).on('close', onEnd);
  });
}
