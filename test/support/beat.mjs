/** A heartbeat as a user writes it: an HTTP request whose Response is the answer. */
export function beatTo(url) {
  return async (_, signal) => {
    const response = await fetch(url, { method: 'PUT', signal });
    await response.body?.cancel();
    return response;
  };
}
